package audit

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Hold is a legal hold: events that it matches outlive their retention.
//
// That a hold is in force follows from the record: an audit.hold event with no audit.release behind it. The file holds beside the
// segments says it once more, for the case that the event's segment is lost. What either of them has is a hold.
type Hold struct {
	Name  string
	Query Query // From, To, Domain, User, Since and Until count
}

const (
	holdsName    = "holds"
	holdLockName = "holds.lock" // taken by who places or releases a hold, or deletes
	maxHoldName  = 64
)

// CheckName says why a name cannot be a hold's: it has to be one word.
func (h Hold) CheckName() error {
	odd := func(c rune) bool {
		return !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.ContainsRune("-_.", c))
	}
	if h.Name == "" || len(h.Name) > maxHoldName || strings.ContainsFunc(h.Name, odd) {
		return fmt.Errorf("%q cannot be the name of a hold: take up to %d letters, digits, dots, dashes and underlines", h.Name, maxHoldName)
	}
	return nil
}

// Text is the hold as its event has it, in query.
func (h Hold) Text() string {
	var b strings.Builder
	put := func(key, value string) {
		if value == "" {
			return
		}
		if b.Len() > 0 {
			b.WriteByte(' ')
		}
		if quoted := strconv.QuoteToASCII(value); strings.Contains(value, " ") || quoted != `"`+value+`"` {
			value = quoted
		}
		b.WriteString(key + "=" + value)
	}
	moment := func(t time.Time) string {
		if t.IsZero() {
			return ""
		}
		return t.UTC().Format(time.RFC3339Nano)
	}
	q := &h.Query
	put("name", h.Name)
	put("user", q.User)
	put("domain", q.Domain)
	put("from", q.From)
	put("to", q.To)
	put("since", moment(q.Since))
	put("until", moment(q.Until))
	return b.String()
}

// parseHold reads what Text writes.
func parseHold(text string) (h Hold, err error) {
	fields := map[string]*string{"name": &h.Name, "user": &h.Query.User, "domain": &h.Query.Domain, "from": &h.Query.From, "to": &h.Query.To}
	moments := map[string]*time.Time{"since": &h.Query.Since, "until": &h.Query.Until}
	for text != "" {
		key, rest, ok := strings.Cut(text, "=")
		if !ok {
			return h, errHold
		}
		var value string
		if quoted, err := strconv.QuotedPrefix(rest); err == nil && quoted[0] == '"' {
			if value, err = strconv.Unquote(quoted); err != nil {
				return h, errHold
			}
			text = strings.TrimPrefix(rest[len(quoted):], " ")
		} else {
			value, text, _ = strings.Cut(rest, " ")
		}
		switch at, to := fields[key], moments[key]; {
		case at != nil:
			*at = value
		case to != nil:
			if *to, err = time.Parse(time.RFC3339Nano, value); err != nil {
				return h, errHold
			}
		default:
			return h, errHold
		}
	}
	return h, nil
}

var errHold = errors.New("not the text of a hold")

// holdOf reads a hold from its event. One that cannot be understood holds everything.
func holdOf(r Record) Hold {
	h, err := parseHold(r.Query)
	if err != nil || r.Cut {
		h.Query = Query{}
	}
	h.Name = cmp.Or(h.Name, r.ID.String())
	return h
}

// Holds lists the holds that are in force, by name. A record that is damaged may have more, so that the error counts.
func Holds(ctx context.Context, dir string) ([]Hold, error) {
	return holdsIn(ctx, dir, func([]byte, head) error { return nil })
}

func sortedHolds(held map[string]Hold) []Hold {
	all := make([]Hold, 0, len(held))
	for _, h := range held {
		all = append(all, h)
	}
	slices.SortFunc(all, func(a, b Hold) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// keptHolds reads the file of holds: each a line, a JSON string. A line that is not one holds everything.
func keptHolds(dir string) (kept []Hold, err error) {
	b, err := readRegular(filepath.Join(dir, holdsName))
	if err != nil {
		return nil, ignoreGone(err)
	}
	for i, line := range bytes.Split(bytes.TrimSuffix(b, []byte("\n")), []byte("\n")) {
		var text string
		if len(line) == 0 {
			continue
		}
		h, err := Hold{}, json.Unmarshal(line, &text)
		if err == nil {
			h, err = parseHold(text)
		}
		if err != nil {
			h = Hold{Name: fmt.Sprintf("line-%d-of-%s", i+1, holdsName)}
		}
		kept = append(kept, h)
	}
	return kept, nil
}

func keepHolds(dir string, kept []Hold) error {
	var b bytes.Buffer
	for _, h := range kept {
		line, err := json.Marshal(h.Text())
		if err != nil {
			return err
		}
		b.Write(append(line, '\n'))
	}
	f, err := os.CreateTemp(dir, "."+holdsName+"-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(b.Bytes())
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), filepath.Join(dir, holdsName)); err != nil {
		return err
	}
	return osDisk{}.syncDir(dir)
}

// PlaceHold puts a hold in force. note has to bring the event into the record.
func PlaceHold(ctx context.Context, dir string, h Hold, note func(Event) error) error {
	if err := h.CheckName(); err != nil {
		return err
	}
	if len(h.Text()) > maxText {
		return errors.New("the hold's query is too long for an event")
	}
	return withHolds(ctx, dir, func(all []Hold) error {
		if slices.ContainsFunc(all, func(o Hold) bool { return o.Name == h.Name }) {
			return fmt.Errorf("hold %s is in force already: take another name, or release it first", h.Name)
		}
		if err := note(Event{Kind: AuditHold, Deed: DeedPart{Query: h.Text()}}); err != nil {
			return err
		}
		return keepHolds(dir, append(all, h))
	})
}

// ReleaseHold ends a hold. note has to bring the event into the record.
func ReleaseHold(ctx context.Context, dir, name string, note func(Event) error) error {
	return withHolds(ctx, dir, func(all []Hold) error {
		i := slices.IndexFunc(all, func(h Hold) bool { return h.Name == name })
		if i < 0 {
			return fmt.Errorf("there is no hold %s", name)
		}
		if err := note(Event{Kind: AuditRelease, Deed: DeedPart{Query: Hold{Name: name}.Text()}}); err != nil {
			return err
		}
		return keepHolds(dir, slices.Delete(all, i, i+1))
	})
}

// withHolds calls f with the holds that are in force, while nobody else places or releases one. A line that cannot be read is no reason
// not to: what it would hold stays held by the file, or is found when it can be read again.
func withHolds(ctx context.Context, dir string, f func([]Hold) error) error {
	return withHoldLock(dir, func() error {
		all, err := Holds(ctx, dir)
		if err != nil && !errors.As(err, new(*DamageError)) {
			return fmt.Errorf("which holds are in force cannot be told: %w", err)
		}
		return f(all)
	})
}

// withHoldLock calls f while no hold can be placed or released, and nothing be deleted by anybody else.
func withHoldLock(dir string, f func() error) error {
	lock, err := os.OpenFile(filepath.Join(dir, holdLockName), os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return fmt.Errorf("somebody else deletes, or places or releases a hold, just now: %w", err)
	}
	defer syscall.Flock(int(lock.Fd()), syscall.LOCK_UN) // a program that is being started has a copy of the file until it runs
	return f()
}

// holder tells what holds match.
type holder struct {
	holds    []Hold
	matchers []*matcher
	hasher   *Hasher // for lines of level link, which have hashes for addresses
}

func newHolder(holds []Hold, hasher *Hasher) holder {
	k := holder{holds: holds, hasher: hasher}
	for _, h := range holds {
		k.matchers = append(k.matchers, newMatcher(h.Query))
	}
	return k
}

// matching gives the name of a hold that a line is under.
func (k *holder) matching(line []byte, h head) (name string, held bool) {
	var r Record
	read := false
	for i, m := range k.matchers {
		if m.until != "" && string(h.time) >= m.until || !m.head(h) || !m.raw(line) && !bytes.Contains(line, hashedAddresses) {
			continue
		}
		if !read {
			var err error
			if r, err = ParseRecord(line); err != nil {
				return k.holds[i].Name, true
			}
			read = true
		}
		if m.record(&r) || k.unnamed(&m.q, &r) {
			return k.holds[i].Name, true
		}
	}
	return "", false
}

// provedHolder tells what the holds of a record match, for who is about to delete.
func provedHolder(ctx context.Context, c Config) (*holder, error) {
	hasher, err := LoadHasher(c)
	if err != nil {
		return nil, err
	}
	holds, err := provedHolds(ctx, c)
	if err != nil {
		return nil, err
	}
	k := newHolder(holds, hasher)
	return &k, nil
}

// hashedAddresses is what a line of level link has, and hardly any other.
var hashedAddresses = []byte(`"level":"link"`)

// unnamed says whether a query asks for a line of level link by addresses whose hashes alone are in it.
func (k *holder) unnamed(q *Query, r *Record) bool {
	if r.Level != LevelLink.String() {
		return false
	}
	sender, recipient := r.Local, r.Remote
	if r.Dir == "in" {
		sender, recipient = r.Remote, r.Local
	}
	is := func(asked, hash, domain string) bool {
		if strings.Contains(asked, "@") {
			return hash != "" && hash == k.hasher.Address(r.Time, asked)
		}
		return asked == domain
	}
	return (q.From == "" || is(q.From, r.Hash.From, sender)) && (q.To == "" || is(q.To, r.Hash.To, recipient)) &&
		(q.User == "" || is(q.User, r.Hash.From, sender) || is(q.User, r.Hash.To, recipient)) &&
		(q.Domain == "" || inDomain(r.Local, q.Domain) || inDomain(r.Remote, q.Domain))
}

// placed gives the name of the hold in force that a line places.
func (k *holder) placed(line []byte, h head) (name string, ok bool) {
	if string(h.kind) != kinds[AuditHold].name {
		return "", false
	}
	r, err := ParseRecord(line)
	if err != nil {
		return "", false
	}
	name = holdOf(r).Name
	return name, slices.ContainsFunc(k.holds, func(o Hold) bool { return o.Name == name })
}
