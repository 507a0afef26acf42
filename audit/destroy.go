package audit

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// Doomed lists the keys of a retention class whose whole period lies before a day, which cannot be in the future. period is how
// long a key of the record is used.
func Doomed(dir, class string, before, now time.Time, period time.Duration) ([]SealingKey, error) {
	if before.After(now) {
		return nil, fmt.Errorf("%s is still to come: a key that is in use is not destroyed", before.Format(time.DateOnly))
	}
	all, err := SealingKeys(dir)
	if err != nil {
		return nil, err
	}
	var doomed []SealingKey
	for _, k := range all {
		if k.Class == classFolder(class) && len(k.Files) > 0 && !k.Begin.Add(period).After(before) {
			doomed = append(doomed, k)
		}
	}
	return doomed, nil
}

// Destroy removes a key's files for good, and leaves word that it has. It has to be recorded before. What was sealed under the key
// is closed to everybody who has no copy of the file; the lines, and all proofs of them, stay as they are.
func (k SealingKey) Destroy() error {
	if len(k.Files) == 0 {
		return nil
	}
	dir := filepath.Dir(k.Files[0])
	tomb := filepath.Join(dir, filepath.Base(k.Name)+tombSuffix)
	f, err := os.OpenFile(tomb, os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("destroying key %s: %w", k.Name, err)
	}
	errs := []error{f.Sync(), f.Close()}
	for _, path := range k.Files {
		errs = append(errs, overwrite(path), os.Remove(path))
	}
	if err := errors.Join(append(errs, osDisk{}.syncDir(dir))...); err != nil {
		return fmt.Errorf("destroying key %s: %w", k.Name, err)
	}
	return nil
}

// overwrite puts zeros where a file's bytes are, for disks that write in place.
func overwrite(path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	st, err := f.Stat()
	if err == nil {
		_, err = f.WriteAt(make([]byte, min(st.Size(), maxKeyFile)), 0)
	}
	return errors.Join(err, f.Sync(), f.Close())
}
