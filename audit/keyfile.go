package audit

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"filippo.io/age"

	"sallyport/internal/shamir"
)

// keysDir is where the sealed first keys are, in the record's directory: CLASS/PERIOD-N.age, or with shares one file for each
// officer, CLASS/PERIOD-N.SHARE.age. A destroyed key leaves CLASS/PERIOD-N.destroyed behind. PERIOD is a day, 2026-11-24, or where
// audit.sealing.period is no day its beginning and length, 2026-11-24T0600+6h: a key's end does not depend on what is configured later.
const (
	keysDir     = "keys"
	keySuffix   = ".age"
	tombSuffix  = ".destroyed"
	hourLayout  = "2006-01-02T1504"
	maxKeyFile  = 1 << 20
	fileVersion = 1
)

// KeyFile is what an officer finds in the file of a sealing key, decrypted: the chain's first key, or a share of it.
type KeyFile struct {
	V      int    `json:"v"`
	Key    string `json:"key"` // CLASS/PERIOD-N
	Node   string `json:"node"`
	Secret []byte `json:"secret"`
	Share  int    `json:"share,omitempty"`  // number of the share; 0: the secret is whole
	Of     int    `json:"of,omitempty"`     // shares that there are
	Needed int    `json:"needed,omitempty"` // shares that it takes
}

// ParseKeyFile reads a decrypted key file. The error is for anything else.
func ParseKeyFile(text []byte) (KeyFile, error) {
	var k KeyFile
	dec := json.NewDecoder(bytes.NewReader(text))
	if err := dec.Decode(&k); err != nil {
		return k, fmt.Errorf("reading a sealing key: %w", err)
	}
	switch {
	case k.V != fileVersion:
		return k, fmt.Errorf("reading a sealing key: format version %d, this program knows %d", k.V, fileVersion)
	case len(k.Secret) != keySize || !keyName.MatchString(k.Key):
		return k, errors.New("reading a sealing key: it is none")
	case k.Share < 0 || k.Share > k.Of || k.Of > 255 || k.Share > 0 && (k.Needed < 2 || k.Needed > k.Of):
		return k, fmt.Errorf("reading a sealing key: share %d of %d with %d needed makes no sense", k.Share, k.Of, k.Needed)
	}
	return k, nil
}

var keyName = regexp.MustCompile(`^([a-z0-9][a-z0-9._-]{0,63})/(\d{4}-\d\d-\d\d(?:T\d{4}\+[1-9]\d{0,3}h)?)-([1-9]\d{0,8})$`)

// classFolder gives a retention class a folder. A class whose name would make none has a hash for a name.
func classFolder(class string) string {
	if class == "" {
		return "default"
	}
	if className.MatchString(class) {
		return class
	}
	sum := sha256.Sum256([]byte(class))
	return "x" + hex.EncodeToString(sum[:8])
}

var className = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,63}$`)

// maxNumber is the last that keyName takes. Nobody would find a key with a longer one.
const maxNumber = 999_999_999

// nextNumber is one above all that a period's keys in a folder have had, be they destroyed or half written.
func nextNumber(dir, period string) (int, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return 0, fmt.Errorf("listing sealing keys: %w", err)
	}
	last := 0
	for _, e := range entries {
		rest, ok := strings.CutPrefix(e.Name(), period+"-")
		digits, _, _ := strings.Cut(rest, ".")
		if n, err := strconv.Atoi(digits); ok && err == nil {
			last = max(last, n)
		}
	}
	if last >= maxNumber {
		return 0, fmt.Errorf("%s has no numbers left for the keys of %s", dir, period)
	}
	return last + 1, nil
}

type namedFile struct {
	name    string // below keysDir
	content []byte
}

// sealed makes the files of a chain.
func (s *sealer) sealed(c *chain) ([]namedFile, error) {
	k := KeyFile{V: fileVersion, Key: c.name, Node: s.node, Secret: c.key[:]}
	if s.cfg.Threshold <= 1 {
		content, err := encrypt(k, s.recipients...)
		return []namedFile{{c.name + keySuffix, content}}, err
	}
	shares, err := shamir.Split(c.key[:], s.cfg.Threshold, len(s.recipients))
	if err != nil {
		return nil, err
	}
	var files []namedFile
	for i, share := range shares {
		k.Secret, k.Share, k.Of, k.Needed = share.Y, int(share.X), len(shares), s.cfg.Threshold
		content, err := encrypt(k, s.recipients[i])
		if err != nil {
			return nil, err
		}
		clear(share.Y)
		files = append(files, namedFile{fmt.Sprintf("%s.%d%s", c.name, share.X, keySuffix), content})
	}
	return files, nil
}

func encrypt(k KeyFile, to ...age.Recipient) ([]byte, error) {
	text, err := k.text()
	if err != nil {
		return nil, err
	}
	defer clear(text)
	var out bytes.Buffer
	w, err := age.Encrypt(&out, to...)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(text); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// text is the file before it is encrypted. The secret is in no buffer but this one, which can be cleared: encoding/json would keep it in
// buffers of its own.
func (k KeyFile) text() ([]byte, error) {
	secret := k.Secret
	k.Secret = nil
	frame, err := json.Marshal(k)
	if err != nil {
		return nil, err
	}
	before, after, _ := bytes.Cut(frame, []byte(`"secret":null`))
	text := make([]byte, 0, len(frame)+base64.StdEncoding.EncodedLen(len(secret)))
	text = append(append(text, before...), `"secret":"`...)
	text = base64.StdEncoding.AppendEncode(text, secret)
	return append(append(append(text, '"'), after...), '\n'), nil
}

// decrypt reads a key file with whichever of the identities it is for.
func decrypt(path string, identities []age.Identity) (KeyFile, error) {
	f, err := openRegular(path)
	if err != nil {
		return KeyFile{}, err
	}
	defer f.Close()
	name := Visible(filepath.Base(path))
	r, err := age.Decrypt(io.LimitReader(f, maxKeyFile), identities...) // its header alone could fill the memory
	if err != nil {
		return KeyFile{}, fmt.Errorf("%s: %w", name, err)
	}
	text, err := io.ReadAll(r)
	if err != nil {
		return KeyFile{}, fmt.Errorf("%s: %w", name, err)
	}
	defer clear(text)
	return ParseKeyFile(text)
}

// SealingKey is a key whose file is in a record, or was.
type SealingKey struct {
	Name      string // CLASS/PERIOD-N
	Class     string
	Begin     time.Time // of its period
	End       time.Time
	Files     []string // whole paths; none when it was destroyed
	Destroyed bool
}

// SealingKeys lists the keys of a record, class by class, in their order. Files of other names are none of ours.
func SealingKeys(dir string) ([]SealingKey, error) {
	paths, err := fs.Glob(os.DirFS(dir), keysDir+"/*/*")
	if err != nil {
		return nil, fmt.Errorf("listing sealing keys: %w", err)
	}
	found := map[string]*SealingKey{}
	for _, path := range paths {
		path = filepath.Join(dir, path)
		base := filepath.Base(path)
		stem, rest, _ := strings.Cut(base, ".")
		name := filepath.Base(filepath.Dir(path)) + "/" + stem
		m := keyName.FindStringSubmatch(name)
		destroyed := "."+rest == tombSuffix
		if m == nil || !destroyed && !strings.HasSuffix("."+rest, keySuffix) {
			continue
		}
		k := found[name]
		if k == nil {
			k = &SealingKey{Name: name, Class: m[1]}
			if k.Begin, k.End, err = spanOf(m[2]); err != nil {
				continue
			}
			found[name] = k
		}
		if destroyed {
			k.Destroyed = true
		} else {
			k.Files = append(k.Files, path)
		}
	}
	var all []SealingKey
	for _, k := range found {
		all = append(all, *k)
	}
	slices.SortFunc(all, func(a, b SealingKey) int {
		if a.Class != b.Class {
			return strings.Compare(a.Class, b.Class)
		}
		if c := a.Begin.Compare(b.Begin); c != 0 {
			return c
		}
		return cmp.Or(len(a.Name)-len(b.Name), strings.Compare(a.Name, b.Name))
	})
	return all, nil
}

// periodAt names the period that a time is in.
func periodAt(now time.Time, length time.Duration) string {
	begin := now.UTC().Truncate(length)
	if length == 24*time.Hour {
		return begin.Format(time.DateOnly)
	}
	return fmt.Sprintf("%s+%dh", begin.Format(hourLayout), length/time.Hour)
}

// spanOf reads what periodAt writes.
func spanOf(period string) (begin, end time.Time, err error) {
	from, long, ok := strings.Cut(period, "+")
	if !ok {
		begin, err = time.Parse(time.DateOnly, period)
		return begin, begin.Add(24 * time.Hour), err
	}
	length, err := time.ParseDuration(long)
	if err != nil {
		return begin, end, err
	}
	begin, err = time.Parse(hourLayout, from)
	return begin, begin.Add(length), err
}
