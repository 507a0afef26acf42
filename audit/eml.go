package audit

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/mail"
	"net/textproto"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/mod/sumdb/tlog"
)

// letters makes of messages what archives of mail ingest: for each two that wrote to each other, and each day (UTC), one letter (RFC 5322)
// that says who wrote when and, as far as the record has it, what; the events and their proofs are attached. It keeps in memory where a
// day's messages stand in the file of events, and no more.
type letters struct {
	e      *exporter
	f      *exportFile // all events, as lines
	day    string
	talks  map[pair][]place
	order  []pair
	number int
}

type pair struct{ a, b string } // bare addresses, in order

// place is where an event stands in the file, and whence it came.
type place struct {
	at, size int64
	dir      int
}

func (l *letters) add(h Hit) error {
	r := &h.Record
	if day := r.Time.UTC().Format(time.DateOnly); day != l.day {
		if err := l.flush(); err != nil {
			return err
		}
		l.day, l.talks, l.order = day, map[pair][]place{}, nil
	}
	at := l.f.bytes
	if err := l.f.line(h); err != nil {
		return err
	}
	if r.Kind != kinds[Stanza].name || r.Stanza.Kind != "message" || r.From == "" || r.To == "" {
		return nil
	}
	a, _, _ := strings.Cut(r.From, "/")
	b, _, _ := strings.Cut(r.To, "/")
	p := pair{min(a, b), max(a, b)}
	if len(l.talks[p]) == 0 {
		l.order = append(l.order, p)
	}
	l.talks[p] = append(l.talks[p], place{at, l.f.bytes - at, slices.Index(l.e.Dirs, h.Dir)})
	return nil
}

// flush writes the letters of a day.
func (l *letters) flush() error {
	if len(l.order) == 0 {
		return nil
	}
	if err := l.f.Flush(); err != nil {
		return err
	}
	provers := make([]*prover, len(l.e.Dirs))
	for i, dir := range l.e.Dirs {
		provers[i] = newProver(dir)
		defer provers[i].Close()
	}
	for _, p := range l.order {
		if err := l.letter(p, l.talks[p], provers); err != nil {
			return err
		}
	}
	l.talks, l.order = map[pair][]place{}, nil
	return nil
}

func (l *letters) letter(p pair, places []place, provers []*prover) (err error) {
	l.number++
	f, err := l.e.create(fmt.Sprintf("%s-%06d.eml", l.day, l.number))
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.f.Close())
		}
	}()
	first, err := l.read(places[0])
	if err != nil {
		return err
	}
	m := multipart.NewWriter(f)
	if err := heading(f, first, p, len(places), m.Boundary()); err != nil {
		return err
	}
	if err := l.say(m, places); err != nil {
		return err
	}
	if err := l.attach(m, places, provers); err != nil {
		return err
	}
	if err := m.Close(); err != nil {
		return err
	}
	made, err := f.close()
	if err != nil {
		return err
	}
	made.Events = uint64(len(places))
	l.e.m.Files = append(l.e.m.Files, made)
	return nil
}

func (l *letters) line(p place) ([]byte, error) {
	b := make([]byte, p.size)
	if _, err := l.f.f.ReadAt(b, p.at); err != nil {
		return nil, err
	}
	return b[:len(b)-1], nil
}

func (l *letters) read(p place) (Record, error) {
	line, err := l.line(p)
	if err != nil {
		return Record{}, err
	}
	return ParseRecord(line)
}

// ends are whom a letter is from, who wrote first, and to.
func ends(first Record, p pair) (from, to string) {
	from, _, _ = strings.Cut(first.From, "/")
	if to = p.a; from == p.a {
		to = p.b
	}
	return from, to
}

func heading(w io.Writer, first Record, p pair, n int, boundary string) error {
	from, to := ends(first, p)
	day := first.Time.UTC().Format(time.DateOnly)
	_, err := fmt.Fprintf(w, "From: %s\r\nTo: %s\r\nDate: %s\r\nMessage-ID: <%s@sallyport.invalid>\r\nSubject: %s\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed;\r\n boundary=%s\r\n\r\n",
		mailbox(from), mailbox(to), first.Time.UTC().Format(time.RFC1123Z), strings.ToLower(first.ID.String()),
		word(fmt.Sprintf("XMPP, %s: %s and %s, messages: %d", day, short(from), short(to), n)), boundary)
	return err
}

// mailbox spells a bare address as mail knows them. One that mail cannot spell gets an address that leads nowhere (RFC 2606); its name is
// the true one in each case.
func mailbox(bare string) string {
	name := word(short(bare))
	a, err := mail.ParseAddress("<" + bare + ">")
	if err != nil || a.Address != bare || len(bare) > 200 || strings.IndexFunc(bare, func(c rune) bool { return c <= ' ' || c > '~' }) >= 0 {
		return fmt.Sprintf("%s\r\n <%x@xmpp.invalid>", name, sha256.Sum256([]byte(bare)))
	}
	return name + "\r\n " + (&mail.Address{Address: bare}).String()
}

// word is text for a header, in encoded words (RFC 2047) throughout, so that nothing in it means anything there.
func word(s string) string {
	var words []string
	for s = Visible(s); s != ""; {
		n := min(len(s), 42)
		for n < len(s) && !utf8.RuneStart(s[n]) {
			n--
		}
		words = append(words, "=?utf-8?B?"+base64.StdEncoding.EncodeToString([]byte(s[:n]))+"?=")
		s = s[n:]
	}
	return strings.Join(words, "\r\n ")
}

func short(s string) string { return cutTo(s, 200) }

// say writes the part that people read.
func (l *letters) say(m *multipart.Writer, places []place) error {
	w, err := part(m, "text/plain; charset=utf-8", "")
	if err != nil {
		return err
	}
	for _, p := range places {
		r, err := l.read(p)
		if err != nil {
			return err
		}
		text := fmt.Sprintf("%s  %s -> %s  %s, %d bytes, %s %s, event %s", r.Time.UTC().Format("15:04:05.000Z"), r.From, r.To, firstOf(r.Stanza.Type, "normal"), r.Stanza.Size,
			r.Decision.Effect, r.Decision.Rule, r.ID)
		if _, err := fmt.Fprintf(w, "%s\r\n", Visible(text)); err != nil {
			return err
		}
		for _, said := range []string{r.Content.Subject, r.Content.Body} {
			if said == "" {
				continue
			}
			for line := range strings.Lines(said) {
				if _, err := fmt.Fprintf(w, "    %s\r\n", Visible(strings.TrimRight(line, "\r\n"))); err != nil {
					return err
				}
			}
		}
		if r.Sealed.Key != "" {
			if _, err := fmt.Fprintf(w, "    (sealed under %s)\r\n", Visible(r.Sealed.Key)); err != nil {
				return err
			}
		}
	}
	return w.Close()
}

// attach adds the lines as they stand in the record, and the proof of each.
func (l *letters) attach(m *multipart.Writer, places []place, provers []*prover) error {
	w, err := part(m, "application/x-ndjson", "events.jsonl")
	if err != nil {
		return err
	}
	for _, p := range places {
		line, err := l.line(p)
		if err != nil {
			return err
		}
		if _, err := w.Write(append(line, '\n')); err != nil {
			return err
		}
	}
	if err := w.Close(); err != nil {
		return err
	}
	for _, p := range places {
		line, err := l.line(p)
		if err != nil {
			return err
		}
		proof, id, err := provers[p.dir].prove(line)
		if err != nil {
			l.e.m.Unproved++
			continue
		}
		w, err := part(m, "text/plain; charset=utf-8", id.String()+".tlog-proof")
		if err != nil {
			return err
		}
		_, err = w.Write(proof)
		if err := errors.Join(err, w.Close()); err != nil {
			return err
		}
	}
	return nil
}

// part begins a part, in base64 with lines of 76 characters (RFC 2045 §6.8).
func part(m *multipart.Writer, kind, name string) (io.WriteCloser, error) {
	h := textproto.MIMEHeader{"Content-Type": {kind}, "Content-Transfer-Encoding": {"base64"}}
	if name != "" {
		h.Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": name}))
	}
	w, err := m.CreatePart(h)
	if err != nil {
		return nil, err
	}
	return base64.NewEncoder(base64.StdEncoding, &folder{w: w}), nil
}

// folder breaks lines.
type folder struct {
	w  io.Writer
	at int
}

func (f *folder) Write(b []byte) (n int, err error) {
	for len(b) > 0 {
		k := min(76-f.at, len(b))
		if _, err := f.w.Write(b[:k]); err != nil {
			return n, err
		}
		n, b, f.at = n+k, b[k:], f.at+k
		if f.at == 76 {
			f.at = 0
			if _, err := io.WriteString(f.w, "\r\n"); err != nil {
				return n, err
			}
		}
	}
	return n, nil
}

// prover makes many proofs by one checkpoint.
type prover struct {
	checkpoint Checkpoint
	stored     hashFile
	closer     io.Closer
	err        error
}

func newProver(dir string) *prover {
	p := &prover{}
	var keys Keys
	if keys, p.err = RecordKeys(dir); p.err != nil {
		return p
	}
	if p.checkpoint, p.err = lastCheckpoint(dir, keys); p.err != nil {
		return p
	}
	p.stored, p.closer, p.err = openHashes(dir)
	return p
}

func (p *prover) Close() error {
	if p.closer == nil {
		return nil
	}
	return p.closer.Close()
}

func (p *prover) prove(line []byte) (proof []byte, id ID, err error) {
	h, ok := parseHead(line)
	if !ok || p.err != nil {
		return nil, id, errors.Join(p.err, errNoProof)
	}
	made := Proof{Line: bytes.Clone(line), Index: int64(h.seq) - 1, Checkpoint: p.checkpoint}
	if made.Checkpoint.Size <= made.Index {
		return nil, id, errNoProof
	}
	if made.Path, err = tlog.ProveRecord(made.Checkpoint.Size, made.Index, p.stored); err != nil {
		return nil, id, err
	}
	return made.Format(), h.id, made.check()
}
