package audit

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"
)

// KeyOrder says which sealing keys shall be destroyed: those of a retention class whose whole period lies before a day.
type KeyOrder struct {
	Class  string
	Before time.Time
	Now    time.Time
}

// DestroyKeys destroys the sealing keys of an order, when note has brought the event into the record. While one of them has sealed what
// is under a hold, none is destroyed: the error names the key and the hold. No hold can be placed meanwhile.
func DestroyKeys(ctx context.Context, c Config, o KeyOrder, note func(Event) error) (destroyed []SealingKey, err error) {
	c = c.withDefaults()
	if o.Before.After(o.Now) {
		return nil, fmt.Errorf("%s is still to come: a key that is in use is not destroyed", o.Before.Format(time.DateOnly))
	}
	err = withHoldLock(c.Dir, func() error {
		doomed, err := doomedKeys(c, func(k SealingKey, end time.Time) bool {
			return k.Class == classFolder(o.Class) && !end.After(o.Before)
		})
		if err != nil {
			return err
		}
		if len(doomed) == 0 {
			return fmt.Errorf("class %s has no keys from before %s", o.Class, o.Before.Format(time.DateOnly))
		}
		holds, err := provedHolds(ctx, c)
		if err != nil {
			return err
		}
		held, err := heldKeys(ctx, c, doomed, holds)
		if err != nil {
			return err
		}
		for _, k := range doomed {
			if name, ok := held[k.Name]; ok {
				return fmt.Errorf("no key is destroyed: key %s has sealed what hold %s is on; release the hold first, or order only days before %s", k.Name, name, k.Begin.Format(time.DateOnly))
			}
		}
		destroyed, err = destroyKeys(doomed, Event{Deed: DeedPart{Query: fmt.Sprintf("class=%s before=%s", o.Class, o.Before.Format(time.DateOnly))}}, note)
		return err
	})
	return destroyed, err
}

// destroyExpired destroys the keys of all classes whose retention is over, but for those that have sealed what is under a hold.
func destroyExpired(ctx context.Context, c Config, now time.Time, note func(Event) error) error {
	return withHoldLock(c.Dir, func() error {
		expired, err := doomedKeys(c, func(_ SealingKey, end time.Time) bool { return !end.After(now) })
		if err != nil {
			return err
		}
		byClass := map[string][]SealingKey{}
		for _, k := range expired {
			if end, ok := c.Retention.ofFolder(k.Class, k.End); ok && !end.After(now) {
				byClass[k.Class] = append(byClass[k.Class], k)
			}
		}
		if len(byClass) == 0 {
			return nil
		}
		holds, err := provedHolds(ctx, c)
		if err != nil {
			return err
		}
		for class, doomed := range byClass {
			held, err := heldKeys(ctx, c, doomed, holds)
			if err != nil {
				return err
			}
			doomed = slices.DeleteFunc(doomed, func(k SealingKey) bool { return held[k.Name] != "" })
			if len(doomed) == 0 {
				continue
			}
			if _, err := destroyKeys(doomed, Event{Deed: DeedPart{Query: "class=" + class + " expired"}}, note); err != nil {
				return err
			}
		}
		return nil
	})
}

// destroyKeys notes that keys go, and destroys them.
func destroyKeys(doomed []SealingKey, e Event, note func(Event) error) (destroyed []SealingKey, err error) {
	e.Kind, e.Count = AuditDestroy, uint64(len(doomed))
	if err := note(e); err != nil {
		return nil, err
	}
	for _, k := range doomed {
		if err := k.Destroy(); err != nil {
			return destroyed, err
		}
		destroyed = append(destroyed, k)
	}
	return destroyed, nil
}

// doomedKeys lists the keys that have a file still and are over, by what over says of a key and the end of its period.
func doomedKeys(c Config, over func(k SealingKey, end time.Time) bool) (doomed []SealingKey, err error) {
	all, err := SealingKeys(c.Dir)
	for _, k := range all {
		if len(k.Files) > 0 && over(k, k.End) {
			doomed = append(doomed, k)
		}
	}
	return doomed, err
}

// heldKeys finds which keys have sealed what is under a hold, and which hold.
func heldKeys(ctx context.Context, c Config, keys []SealingKey, holds []Hold) (held map[string]string, err error) {
	held = map[string]string{}
	if len(keys) == 0 {
		return held, nil
	}
	const slack = 24 * time.Hour // a line can be dated a little after its key's period
	begin, end := keys[0].Begin, keys[0].End
	for _, k := range keys {
		if k.Begin.Before(begin) {
			begin = k.Begin
		}
		if k.End.After(end) {
			end = k.End
		}
	}
	begin, end = begin.Add(-slack), end.Add(slack)
	for _, h := range holds {
		q := h.Query
		q.Kind, q.NoIndex = kinds[Stanza].name, true // an index that somebody has made to mislead costs a key here
		if q.Since.Before(begin) {
			q.Since = begin
		}
		if q.Until.IsZero() || q.Until.After(end) {
			q.Until = end
		}
		err := Search(ctx, c.Dir, q, func(_ []byte, r Record) error {
			if r.Sealed.Key != "" {
				held[r.Sealed.Key] = h.Name
			}
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("what hold %s is on cannot be told: %w", h.Name, err)
		}
	}
	return held, nil
}

// Destroy removes a key's files for good, and leaves word that it has. Who calls it has looked for holds and recorded it: DestroyKeys does. What was sealed under the key
// is closed to everybody who has no copy of the file; the lines, and all proofs of them, stay as they are.
func (k SealingKey) Destroy() error {
	if len(k.Files) == 0 {
		return nil
	}
	dir := filepath.Dir(k.Files[0])
	record, err := os.OpenRoot(filepath.Dir(filepath.Dir(dir))) // whoever owns the record could set links to what root alone may write
	if err != nil {
		return fmt.Errorf("destroying key %s: %w", k.Name, err)
	}
	defer record.Close()
	below := filepath.Join(keysDir, filepath.Base(dir))
	f, err := record.OpenFile(filepath.Join(below, filepath.Base(k.Name)+tombSuffix), os.O_WRONLY|os.O_CREATE|syscall.O_NONBLOCK, 0o600)
	if err != nil {
		return fmt.Errorf("destroying key %s: %w", k.Name, err)
	}
	errs := []error{f.Sync(), f.Close()}
	for _, path := range k.Files {
		name := filepath.Join(below, filepath.Base(path))
		errs = append(errs, overwrite(record, name), record.Remove(name))
	}
	if err := errors.Join(append(errs, osDisk{}.syncDir(dir))...); err != nil {
		return fmt.Errorf("destroying key %s: %w", k.Name, err)
	}
	return nil
}

// overwrite puts zeros where a file's bytes are, for disks that write in place. It waits for no reader of a pipe that somebody put there.
func overwrite(record *os.Root, name string) error {
	f, err := record.OpenFile(name, os.O_WRONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	st, err := f.Stat()
	if err == nil {
		_, err = f.WriteAt(make([]byte, min(st.Size(), maxKeyFile)), 0)
	}
	return errors.Join(err, f.Sync(), f.Close())
}
