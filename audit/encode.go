package audit

import (
	"strconv"
	"time"
	"unsafe"
)

// maxClasses is far above what POLICY's classes can give for one stanza.
const maxClasses = 64

// version of the line format, as "v" in each line.
const version = 1

// encoder writes events as lines. Fields come in one fixed order, and empty ones are left out. It allocates nothing but room.
type encoder struct {
	buf  []byte
	node []byte // `","node":"…","kind":"`: what stands between each event's id and kind
	cut  bool   // a value of the event in hand was too long

	most   int     // bytes of a body, a subject or a stanza
	hasher *Hasher // nil: no hashes
	box    box     // for what is to be sealed
}

func newEncoder(node string) encoder {
	between := appendText([]byte(`","node":"`), cutTo(node, maxText))
	return encoder{node: append(between, `","kind":"`...), most: defaultContent}
}

func cutTo(s string, limit int) string {
	if len(s) > limit {
		return cutText(s, limit)
	}
	return s
}

// event appends e as one line. stamp is e.Time, as appendTime writes it; c has the key for its content, should it be sealed. Without
// one that cannot be, and the line says that it was asked for.
func (n *encoder) event(e *Event, stamp []byte, c *chain) {
	n.cut = false
	start := len(n.buf)
	b := append(n.buf, `{"v":1,"seq":`...)
	b = strconv.AppendUint(b, e.Seq, 10)
	b = append(b, `,"time":"`...)
	b = append(b, stamp...)
	b = append(b, `","id":"`...)
	b = append(b, e.ID[:]...)
	b = append(b, n.node...)
	b = append(b, e.Kind.String()...)
	b = append(b, `","code":`...)
	n.buf = strconv.AppendUint(b, uint64(e.Code()), 10)
	level := LevelMetadata
	if e.Kind == Stanza {
		level = e.Level.effective()
		if level == LevelSealed && c == nil && !e.Content.empty() {
			level = LevelMetadata
		}
		n.level(e.Level, level)
	}
	n.str(`,"dir":"`, e.Dir)
	n.address(`,"local":"`, e.Local)
	n.address(`,"remote":"`, e.Remote)
	if level >= LevelMetadata {
		n.address(`,"from":"`, e.From)
		n.address(`,"to":"`, e.To)
	}
	n.link(e)
	n.stanza(&e.Stanza, level)
	n.decision(&e.Decision, level)
	n.change(&e.Change)
	n.certificate(e)
	n.trouble(e, level)
	if e.Kind == Delivery || e.Kind == AuditDelete {
		n.settled(e)
	}
	n.upkeep(e)
	if e.Kind == Stanza {
		n.hashes(e, stamp, level)
	}
	if level == LevelContent {
		n.content(&e.Content)
	} else if c != nil {
		n.fill(&e.Content)
	}
	if n.cut {
		n.buf = append(n.buf, `,"cut":true`...)
	}
	if c != nil {
		n.seal(c, start)
	}
	n.buf = append(n.buf, "}\n"...)
}

func (n *encoder) level(asked, level Level) {
	n.buf = append(n.buf, `,"level":"`...)
	n.buf = append(n.buf, level.String()...)
	n.buf = append(n.buf, '"')
	if asked > level {
		n.str(`,"asked":"`, asked.String())
	}
}

func (n *encoder) link(e *Event) {
	start := n.open(`,"link":`)
	n.str(`,"id":"`, e.Link)
	n.str(`,"channel":"`, e.Channel)
	n.str(`,"proof":"`, e.Proof)
	n.str(`,"tls":"`, e.TLS)
	n.str(`,"cipher":"`, e.Cipher)
	n.str(`,"alpn":"`, e.ALPN)
	n.str(`,"remote_ip":"`, e.RemoteIP)
	n.str(`,"route":"`, e.Route)
	n.close(start)
}

func (n *encoder) stanza(s *StanzaPart, level Level) {
	start := n.open(`,"stanza":`)
	n.str(`,"kind":"`, s.Kind)
	if level >= LevelMetadata {
		n.str(`,"type":"`, s.Type)
		n.bytes(`,"id":"`, s.ID)
	}
	n.num(`,"size":`, uint64(max(s.Size, 0)))
	if level >= LevelMetadata {
		n.list(`,"class":[`, s.Class)
		n.str(`,"e2ee":"`, s.E2EE)
		n.str(`,"label":"`, s.Label)
		n.bytes(`,"thread":"`, s.Thread)
	}
	n.close(start)
}

func (n *encoder) decision(d *DecisionPart, level Level) {
	start := n.open(`,"decision":`)
	n.str(`,"effect":"`, d.Effect)
	n.str(`,"rule":"`, d.Rule)
	if level >= LevelMetadata {
		n.str(`,"reason":"`, d.Reason)
	}
	n.str(`,"revision":"`, d.Revision)
	n.str(`,"mode":"`, d.Mode)
	n.str(`,"would":"`, d.Would)
	if d.Cached {
		n.buf = append(n.buf, `,"cached":true`...)
	}
	n.str(`,"retention":"`, d.Retention)
	n.close(start)
}

func (n *encoder) change(c *ChangePart) {
	start := n.open(`,"change":`)
	n.list(`,"rules":[`, c.Rules)
	n.str(`,"before":"`, c.Before)
	n.str(`,"after":"`, c.After)
	n.close(start)
}

func (n *encoder) certificate(e *Event) {
	start := n.open(`,"cert":`)
	n.str(`,"facts":"`, e.Cert)
	n.str(`,"spki":"`, e.CertSPKI)
	n.str(`,"issuer":"`, e.CertIssuer)
	n.str(`,"not_after":"`, e.CertNotAfter)
	n.close(start)
}

// trouble writes what went wrong. Below metadata the words are left out: they may quote what names a person.
func (n *encoder) trouble(e *Event, level Level) {
	n.str(`,"step":"`, e.Step)
	n.str(`,"address":"`, e.Address)
	n.str(`,"condition":"`, e.Condition)
	if level < LevelMetadata {
		return
	}
	n.str(`,"text":"`, e.Text)
	n.str(`,"error":"`, e.Error)
	n.str(`,"advice":"`, e.Advice)
	if e.NextTry > 0 {
		n.str(`,"next_try":"`, e.NextTry.String())
	}
}

// settled writes what an event says of others, by their seqs.
func (n *encoder) settled(e *Event) {
	b := append(n.buf, `,"of":[`...)
	for i, r := range e.Of {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, '[')
		b = strconv.AppendUint(b, r.First, 10)
		b = append(b, ',')
		b = strconv.AppendUint(b, r.Last, 10)
		b = append(b, ']')
	}
	n.buf = append(b, ']')
	n.str(`,"outcome":"`, e.Outcome)
	n.num(`,"settled":`, e.settled)
}

// upkeep writes what only the record's own events have.
func (n *encoder) upkeep(e *Event) {
	n.num(`,"count":`, e.Count)
	n.num(`,"passed":`, e.Passed)
	n.time(`,"since":"`, e.Since)
	n.time(`,"until":"`, e.Until)
	n.str(`,"segment":"`, e.Segment)
	n.num(`,"bytes":`, e.Bytes)
	n.str(`,"sha256":"`, e.SHA256)
	n.str(`,"revision":"`, e.Revision)
	n.str(`,"who":"`, e.Deed.Who)
	n.str(`,"as":"`, e.Deed.As)
	n.str(`,"why":"`, e.Deed.Why)
	n.str(`,"query":"`, e.Deed.Query)
	n.str(`,"key":"`, e.Key)
}

// open begins an object. Its fields each begin with a comma; close turns the first one into the brace, or takes an object
// without fields off again.
func (n *encoder) open(key string) (start int) {
	n.buf = append(n.buf, key...)
	return len(n.buf) - len(key)
}

func (n *encoder) close(start int) {
	// The key ends with the only colon that can follow start before the first field.
	i := start
	for n.buf[i] != ':' {
		i++
	}
	if i+1 == len(n.buf) {
		n.buf = n.buf[:start]
		return
	}
	n.buf[i+1] = '{'
	n.buf = append(n.buf, '}')
}

// str writes a value unless it is empty. Most are plain, and go into the buffer in one go.
func (n *encoder) str(key, s string) {
	if s != "" {
		n.value(key, s, maxText)
	}
}

func (n *encoder) address(key, s string) {
	if s != "" {
		n.value(key, s, maxAddress)
	}
}

func (n *encoder) bytes(key string, s []byte) {
	if len(s) > 0 {
		n.value(key, unsafe.String(&s[0], len(s)), maxText) // not kept
	}
}

// words writes what a stanza says.
func (n *encoder) words(key string, s []byte) {
	if len(s) > 0 {
		n.value(key, unsafe.String(&s[0], len(s)), n.most) // not kept
	}
}

func bytesOf(s string) []byte { return unsafe.Slice(unsafe.StringData(s), len(s)) } // not changed

func (n *encoder) value(key, s string, limit int) {
	b, at := n.buf, len(n.buf)+len(key)
	end := at + len(s)
	if end >= cap(b) || len(s) > limit {
		n.odd(key, s, limit)
		return
	}
	b = b[:end+1]
	copy(b[at-len(key):], key)
	if !copyPlain(b[at:end], s) {
		n.odd(key, s, limit)
		return
	}
	b[end] = '"'
	n.buf = b
}

// odd writes a value that has to be escaped or cut, or for which the buffer has to grow.
func (n *encoder) odd(key, s string, limit int) {
	if len(s) > limit {
		n.long(key, s, limit)
		return
	}
	b := append(n.buf, key...)
	b = appendText(b, s)
	n.buf = append(b, '"')
}

// long writes the beginning of a value that exceeds its limit, with an ellipsis.
func (n *encoder) long(key, s string, limit int) {
	n.cut = true
	b := append(n.buf, key...)
	b = appendText(b, cutText(s, limit))
	n.buf = append(b, `…"`...)
}

// list writes values that are our own words, and few.
func (n *encoder) list(key string, values []string) {
	if len(values) == 0 {
		return
	}
	if len(values) > maxClasses {
		values, n.cut = values[:maxClasses], true
	}
	n.buf = append(n.buf, key...)
	for i, v := range values {
		if i > 0 {
			n.buf = append(n.buf, ',')
		}
		n.buf = append(n.buf, '"')
		n.buf = append(appendText(n.buf, cutTo(v, maxText)), '"')
	}
	n.buf = append(n.buf, ']')
}

func (n *encoder) num(key string, v uint64) {
	if v == 0 {
		return
	}
	n.buf = append(n.buf, key...)
	n.buf = strconv.AppendUint(n.buf, v, 10)
}

func (n *encoder) time(key string, t time.Time) {
	if t.IsZero() {
		return
	}
	n.buf = append(n.buf, key...)
	n.buf = appendTime(n.buf, t)
	n.buf = append(n.buf, '"')
}

// timeLayout is RFC 3339 in UTC with all nine digits: of one length for every event, so that it sorts as text.
const timeLayout = "2006-01-02T15:04:05.000000000Z"

func appendTime(b []byte, t time.Time) []byte { return t.UTC().AppendFormat(b, timeLayout) }
