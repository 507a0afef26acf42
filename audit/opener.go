package audit

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"filippo.io/age"

	"sallyport/internal/shamir"
)

// Reasons for which sealed content stays closed, wrapped in an error that says more.
var (
	ErrNotSealed = errors.New("the event has no sealed content")
	ErrDestroyed = errors.New("its key was destroyed")
	ErrNoKey     = errors.New("its key's file is not in the record")
	ErrTooFew    = errors.New("more officers are needed")
	ErrTampered  = errors.New("the line, the box or the key was changed: they do not belong together")
)

// maxSteps bounds how far a ratchet is followed. A line can claim any number.
const maxSteps = 1 << 21

// Opener opens sealed content of one record with officers' identities. It is not safe for concurrent use.
type Opener struct {
	dir        string
	identities []age.Identity
	given      map[string][]KeyFile // by key: shares and secrets that came by hand
	followed   map[string]*followed
}

// NewOpener opens what is in dir. Identities may be none where Give brings shares.
func NewOpener(dir string, identities ...age.Identity) *Opener {
	return &Opener{dir: dir, identities: identities, given: map[string][]KeyFile{}, followed: map[string]*followed{}}
}

// Add brings further identities.
func (o *Opener) Add(identities ...age.Identity) { o.identities = append(o.identities, identities...) }

// Give adds what an officer has decrypted elsewhere.
func (o *Opener) Give(k KeyFile) { o.given[k.Key] = append(o.given[k.Key], k) }

// Open opens the content of a line. The error is ErrNotSealed, ErrDestroyed, ErrNoKey, ErrTooFew or ErrTampered, wrapped, or says
// that none of the identities is one that the key was sealed to.
func (o *Opener) Open(line []byte, r Record) (ContentRecord, error) {
	var c ContentRecord
	plain, err := o.open(line, r)
	if err != nil {
		return c, fmt.Errorf("event %s: %w", Visible(r.ID.String()), err)
	}
	if err := json.Unmarshal(plain, &c); err != nil {
		return c, fmt.Errorf("event %s: reading the content: %w", Visible(r.ID.String()), err)
	}
	return c, nil
}

func (o *Opener) open(line []byte, r Record) ([]byte, error) {
	end := bytes.Index(line, []byte(sealedKey))
	if end < 0 || r.Sealed.Key == "" {
		return nil, ErrNotSealed
	}
	switch {
	case r.Sealed.N == 0 || r.Sealed.N > maxSteps:
		return nil, fmt.Errorf("step %d of a ratchet: %w", r.Sealed.N, ErrTampered)
	case !keyName.MatchString(r.Sealed.Key): // it is to become a path
		return nil, fmt.Errorf("the name of the key: %w", ErrTampered)
	case !r.Sealed.ends(line[end:]): // what follows the box is not bound to it, and would read as the line's own
		return nil, fmt.Errorf("the line goes on behind the box: %w", ErrTampered)
	}
	ciphertext, err := base64.RawStdEncoding.Strict().DecodeString(r.Sealed.Box)
	if err != nil {
		return nil, fmt.Errorf("reading the box: %w", ErrTampered)
	}
	key, err := o.message(r.Sealed.Key, r.Sealed.N)
	if err != nil {
		return nil, err
	}
	plain, err := aeadOf(key).Open(nil, boxNonce[:], ciphertext, line[:end])
	if err != nil {
		return nil, fmt.Errorf("key %s, step %d: %w", r.Sealed.Key, r.Sealed.N, ErrTampered)
	}
	return plain, nil
}

// followed is a ratchet that was gone through, with a mark at each stride: lines that name its steps back and forth cost no more
// than a stride each.
type followed struct {
	marks [][keySize]byte // the keys after 0, stride, 2*stride, … steps
}

const stride = 1 << 10

// message follows a ratchet to the key of step n.
func (o *Opener) message(name string, n uint64) (key [keySize]byte, err error) {
	f := o.followed[name]
	if f == nil {
		first, err := o.root(name)
		if err != nil {
			return key, err
		}
		f = &followed{marks: [][keySize]byte{first}}
		o.followed[name] = f
	}
	mark := (n - 1) / stride
	for uint64(len(f.marks)) <= mark {
		c := chain{key: f.marks[len(f.marks)-1]}
		for c.n < stride {
			c.next()
		}
		f.marks = append(f.marks, c.key)
	}
	c := chain{key: f.marks[mark]}
	for c.n < n-mark*stride {
		_, key = c.next()
	}
	return key, nil
}

// root is the first key of a chain.
func (o *Opener) root(name string) (first [keySize]byte, err error) {
	parts, err := o.parts(name)
	if err != nil {
		return first, fmt.Errorf("key %s: %w", name, err)
	}
	secret, err := join(parts)
	if err != nil {
		return first, fmt.Errorf("key %s: %w", name, err)
	}
	copy(first[:], secret)
	return first, nil
}

// parts decrypts what the identities can of a key's files, and adds what came by hand.
func (o *Opener) parts(name string) ([]KeyFile, error) {
	parts := o.given[name]
	file, err := sealingKey(o.dir, name)
	if err != nil {
		return nil, err
	}
	var refused error
	for _, path := range file.Files {
		if len(o.identities) == 0 {
			break
		}
		k, err := decrypt(path, o.identities)
		switch {
		case errors.As(err, new(*age.NoIdentityMatchError)):
			refused = errors.New("it is not sealed to any of these identities")
		case err != nil:
			return nil, fmt.Errorf("%w: %w", ErrTampered, err)
		case k.Key != name:
			return nil, fmt.Errorf("its file holds key %s: %w", k.Key, ErrTampered)
		default:
			parts = append(parts, k)
		}
	}
	switch {
	case len(parts) > 0:
		return parts, nil
	case len(file.Files) > 0 && refused == nil:
		return nil, errors.New("there is no identity to open it with")
	case len(file.Files) > 0:
		return nil, refused
	case file.Destroyed:
		return nil, ErrDestroyed
	}
	return nil, ErrNoKey
}

// sealingKey finds one key of a record. One that is not there has no files.
func sealingKey(dir, name string) (SealingKey, error) {
	all, err := SealingKeys(dir)
	if err != nil {
		return SealingKey{}, err
	}
	for _, k := range all {
		if k.Name == name {
			return k, nil
		}
	}
	return SealingKey{}, nil
}

// join makes a key of what the officers have: any whole one, or enough shares.
func join(parts []KeyFile) ([]byte, error) {
	var shares []shamir.Share
	seen := map[int]bool{}
	needed := 0
	for _, k := range parts {
		if k.Share == 0 {
			return k.Secret, nil
		}
		if !seen[k.Share] {
			seen[k.Share] = true
			shares, needed = append(shares, shamir.Share{X: byte(k.Share), Y: k.Secret}), max(needed, k.Needed)
		}
	}
	if len(shares) < needed {
		return nil, fmt.Errorf("%w: %d of %d are here", ErrTooFew, len(shares), needed)
	}
	return shamir.Join(shares)
}

// ReadIdentities reads a file of age identities, as age-keygen makes it.
func ReadIdentities(path string) ([]age.Identity, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	identities, err := age.ParseIdentities(f)
	if err != nil {
		return nil, fmt.Errorf("%s: it holds no age identity (AGE-SECRET-KEY-…)", path) // age's error can quote a line
	}
	return identities, nil
}
