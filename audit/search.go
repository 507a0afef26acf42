package audit

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"time"
)

// Query says which events are looked for. An empty field asks nothing; all that are set must hold.
type Query struct {
	From, To string    // user@host, user@host/resource, or a domain
	Domain   string    // of either side; *.example also asks for the domains below example
	User     string    // user@host, as sender or recipient
	Class    string    // of the stanza
	Effect   string    // allow, deny or drop
	Rule     string    // of the decision
	Kind     string    // of the event; link.* asks for all that begin so
	ID       string    // of the event, as quoted in a bounce, or of the stanza
	Since    time.Time // not before
	Until    time.Time // before
	Text     string    // occurs in any value but numbers and times, in whatever case
	Limit    int       // at most so many, the oldest; 0: all
	NoIndex  bool      // read everything: an index is not believed
	Secrets  string    // directory with the key that tells which indexes the gate made; empty: where it is by default, DIR.secrets
}

// Search gives yield every event of a record that q asks for, in order, while a gate may be writing to it. The line is valid
// during the call. An error of yield ends the search and is returned. Lines that cannot be read are passed over, and told of by
// a *DamageError at the end.
//
// Where a segment has an index that fits it, only what may hold such events is read. With the gate's key at hand the index has to be one
// that the gate made; without, it is taken as it is: see [Unvouched].
func Search(ctx context.Context, dir string, q Query, yield func(line []byte, r Record) error) error {
	m := newMatcher(q)
	key, err := presentHasher(Config{Dir: dir, Secrets: q.Secrets}.SecretsDir())
	if err != nil {
		return err
	}
	numbers, err := segments(dir)
	if err != nil {
		return err
	}
	tree, closer, err := openHashes(dir)
	if err != nil {
		return err
	}
	defer closer.Close()
	var damage DamageError
	found := 0
	for i, n := range numbers {
		parts, ok := []extent(nil), false
		if i < len(numbers)-1 && !q.NoIndex {
			parts, ok = m.plan(dir, n, tree, key)
		}
		if !ok {
			if m.since != "" && endsBefore(dir, n, m.since) {
				continue
			}
			parts = wholeSegment
		}
		err := eachLineOf(ctx, dir, n, parts, &damage, func(line []byte, h head) error {
			r, err := m.match(line, h)
			if err != nil || r == nil {
				return err
			}
			if err := yield(line, *r); err != nil {
				return err
			}
			if found++; found == q.Limit {
				return errEnough
			}
			return nil
		})
		if errors.Is(err, errEnough) {
			return nil
		}
		if err != nil {
			return err
		}
	}
	if damage.Lines > 0 {
		return &damage
	}
	return nil
}

// match reads a line if it is what the query asks for.
func (m *matcher) match(line []byte, h head) (*Record, error) {
	if m.until != "" && string(h.time) >= m.until {
		return nil, errNextSegment // within a segment time does not go back
	}
	if !m.head(h) || !m.raw(line) {
		return nil, nil
	}
	r, err := ParseRecord(line)
	if err != nil {
		return nil, errBadLine
	}
	if !m.record(&r) {
		return nil, nil
	}
	return &r, nil
}

// endsBefore says whether a segment's last event is older than since. Within a segment time does not go back.
func endsBefore(dir string, number int, since string) bool {
	offset, _, err := lastLines(dir, number, 1)
	if err != nil {
		return false
	}
	r, err := openLines(dir, number, offset)
	if err != nil {
		return false
	}
	defer r.Close()
	line, _, err := r.next()
	if err != nil {
		return false
	}
	h, ok := parseHead(line)
	return ok && string(h.time) < since
}

// errEnough: the limit is reached.
var errEnough = errors.New("enough")

// matcher is a query made ready. What it can tell from a line's bytes spares the reading of most lines.
type matcher struct {
	q            Query
	since, until string   // as text, which sorts as time does
	needles      [][]byte // a line without one of these cannot match

	id                string // the event's, if that is what q.ID is
	eventID, stanzaID []byte // a line has neither: it cannot match
}

func newMatcher(q Query) *matcher {
	q.From, q.To, q.User, q.Domain = lowerBare(q.From), lowerBare(q.To), lowerBare(q.User), strings.ToLower(q.Domain)
	q.Text = strings.ToLower(q.Text)
	m := &matcher{q: q, id: strings.ToUpper(q.ID)}
	if q.ID != "" {
		m.eventID, m.stanzaID = []byte(m.id), appendText(nil, q.ID)
	}
	if !q.Since.IsZero() {
		m.since = q.Since.UTC().Format(timeLayout)
	}
	if !q.Until.IsZero() {
		m.until = q.Until.UTC().Format(timeLayout)
	}
	for _, s := range []string{q.From, q.To, q.User, strings.TrimPrefix(q.Domain, "*."), q.Class, q.Effect, q.Rule} {
		if s != "" {
			m.needles = append(m.needles, appendText(nil, s))
		}
	}
	return m
}

// lowerBare lowers all of an address but the resource, as addresses stand in the record.
func lowerBare(addr string) string {
	bare, resource, ok := strings.Cut(addr, "/")
	if !ok {
		return strings.ToLower(addr)
	}
	return strings.ToLower(bare) + "/" + resource
}

func (m *matcher) head(h head) bool {
	if m.since != "" && string(h.time) < m.since {
		return false
	}
	if prefix, ok := strings.CutSuffix(m.q.Kind, "*"); ok {
		return strings.HasPrefix(string(h.kind), prefix)
	}
	return m.q.Kind == "" || string(h.kind) == m.q.Kind
}

func (m *matcher) raw(line []byte) bool {
	for _, n := range m.needles {
		if !bytes.Contains(line, n) {
			return false
		}
	}
	return m.id == "" || bytes.Contains(line, m.eventID) || bytes.Contains(line, m.stanzaID)
}

func (m *matcher) record(r *Record) bool {
	q := &m.q
	return (q.From == "" || isAddress(r.From, q.From)) &&
		(q.To == "" || isAddress(r.To, q.To)) &&
		(q.User == "" || isAddress(r.From, q.User) || isAddress(r.To, q.User)) &&
		(q.Domain == "" || inDomain(r.Local, q.Domain) || inDomain(r.Remote, q.Domain) || inDomain(domainOf(r.From), q.Domain) || inDomain(domainOf(r.To), q.Domain)) &&
		(q.Class == "" || slices.Contains(r.Stanza.Class, q.Class)) &&
		(q.Effect == "" || r.Decision.Effect == q.Effect) &&
		(q.Rule == "" || r.Decision.Rule == q.Rule) &&
		(q.ID == "" || r.ID.String() == m.id || r.Stanza.ID == q.ID) &&
		(q.Text == "" || r.mentions(q.Text))
}

// isAddress says whether addr is the one asked for: with a resource exactly, without one whatever resource it has, and a domain
// whatever user.
func isAddress(addr, asked string) bool {
	switch {
	case strings.Contains(asked, "/"):
		return addr == asked
	case strings.Contains(asked, "@"):
		bare, _, _ := strings.Cut(addr, "/")
		return bare == asked
	}
	return domainOf(addr) == asked
}

func domainOf(addr string) string {
	bare, _, _ := strings.Cut(addr, "/")
	if _, domain, ok := strings.Cut(bare, "@"); ok {
		return domain
	}
	return bare
}

func inDomain(domain, asked string) bool {
	if parent, ok := strings.CutPrefix(asked, "*."); ok {
		return domain == parent || strings.HasSuffix(domain, "."+parent)
	}
	return domain == asked
}

// mentions says whether one of the values holds text, which is in lower case.
func (r *Record) mentions(text string) bool {
	l, s, d, c := &r.Link, &r.Stanza, &r.Decision, &r.Cert
	values := []string{
		r.ID.String(), r.Node, r.Kind, r.Level, r.Asked, r.Dir, r.Local, r.Remote, r.From, r.To,
		l.ID, l.Channel, l.Proof, l.TLS, l.Cipher, l.ALPN, l.RemoteIP, l.Route,
		s.Kind, s.Type, s.ID, s.E2EE, s.Label, s.Thread, r.Change.Before, r.Change.After,
		d.Effect, d.Rule, d.Reason, d.Revision, d.Mode, d.Would, d.Retention,
		c.Facts, c.SPKI, c.Issuer, c.NotAfter,
		r.Step, r.Address, r.Condition, r.Text, r.Error, r.Advice, r.NextTry, r.Outcome, r.Segment, r.SHA256, r.Revision,
		r.Hash.Body, r.Hash.From, r.Hash.To, r.Content.Body, r.Content.Subject, r.Content.Lang, r.Content.XML, r.Sealed.Key,
		r.Who, r.As, r.Why, r.Query, r.Key,
	}
	holds := func(v string) bool { return strings.Contains(strings.ToLower(v), text) }
	return slices.ContainsFunc(values, holds) || slices.ContainsFunc(s.Class, holds) || slices.ContainsFunc(r.Change.Rules, holds)
}
