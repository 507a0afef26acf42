package proxy

import (
	"sallyport/audit"
	"sallyport/internal/jid"
	"sallyport/internal/stanza"
)

// Recover tells the senders of stanzas that were accepted before a crash, and of which the record does not know what became,
// that they may not have arrived (DESIGN §5, 3). lost is what audit.Unsettled found. Each is settled in the record when its sender's
// answer has left, and not before: after a crash in between, it is told once more. Call it once, when the inside door is served:
// backends ask there who we are.
func (p *Proxy) Recover(lost []audit.Record) {
	for _, r := range lost {
		p.tellLost(r)
	}
	if len(lost) > 0 {
		p.Log.Warn("stanzas were on their way when the gate ended; their senders are told", "stanzas", len(lost))
	}
}

// tellLost bounces a stanza of which only the record is left.
func (p *Proxy) tellLost(r audit.Record) {
	a := &answered{seq: r.Seq, lost: true, reason: stanza.Error{Condition: stanza.RemoteServerTimeout, Type: "wait", By: r.Local,
		Text: "this message was on its way when the server's gate failed; it may not have arrived"}}
	if r.Dir == Out.String() {
		a.r.dir = Out
	} else {
		a.r.dir = In
	}
	from, errFrom := jid.Parse(r.From)
	to, errTo := jid.Parse(r.To)
	if errFrom != nil || errTo != nil {
		p.settle(a, false)
		return
	}
	a.r.pair = pairOf(a.r.dir, from.Domain, to.Domain)
	el, err := stanza.ParseOne(startOf(r, from, to), stanza.DefaultLimits())
	if err != nil {
		p.settle(a, false)
		return
	}
	p.undelivered(a, el)
}

// startOf is the stanza's tag, which is all that an answer to it needs.
func startOf(r audit.Record, from, to jid.JID) []byte {
	b := append([]byte{'<'}, r.Stanza.Kind...)
	for _, attr := range [][2]string{{"from", from.String()}, {"to", to.String()}, {"id", r.Stanza.ID}, {"type", r.Stanza.Type}} {
		if attr[1] != "" {
			b = append(append(append(b, ' '), attr[0]...), "='"...)
			b = append(stanza.AppendAttr(b, attr[1]), '\'')
		}
	}
	return append(b, "/>"...)
}
