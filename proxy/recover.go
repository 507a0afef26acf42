package proxy

import (
	"sallyport/audit"
	"sallyport/internal/jid"
	"sallyport/internal/stanza"
)

// Recover tells the senders of stanzas that were accepted before a crash, and of which the record does not know what became,
// that they may not have arrived (DESIGN §5, 3). lost is what audit.Unsettled found; each is settled in the record. Call it once,
// when the inside door is served: backends ask there who we are.
func (p *Proxy) Recover(lost []audit.Record) {
	for _, r := range lost {
		told := p.tellLost(r)
		text := "lost in a crash, its sender was told"
		if !told {
			text = "lost in a crash; it is of a kind that gets no answer"
		}
		p.Record.Note(audit.Event{Kind: audit.Delivery, Dir: r.Dir, Local: r.Local, Remote: r.Remote, Outcome: audit.Lost,
			Condition: string(stanza.RemoteServerTimeout), Text: text, Of: []audit.SeqRange{{First: r.Seq, Last: r.Seq}}})
	}
	if len(lost) > 0 {
		p.Log.Warn("stanzas were on their way when the gate ended; their senders are told", "stanzas", len(lost))
	}
}

// tellLost bounces a stanza of which only the record is left.
func (p *Proxy) tellLost(r audit.Record) bool {
	from, errFrom := jid.Parse(r.From)
	to, errTo := jid.Parse(r.To)
	if errFrom != nil || errTo != nil {
		return false
	}
	dir := In
	if r.Dir == Out.String() {
		dir = Out
	}
	var b []byte
	b = append(append(b, '<'), r.Stanza.Kind...)
	for _, attr := range [][2]string{{"from", from.String()}, {"to", to.String()}, {"id", r.Stanza.ID}, {"type", r.Stanza.Type}} {
		if attr[1] != "" {
			b = append(append(append(b, ' '), attr[0]...), "='"...)
			b = append(stanza.AppendAttr(b, attr[1]), '\'')
		}
	}
	el, err := stanza.ParseOne(append(b, "/>"...), stanza.DefaultLimits())
	if err != nil {
		return false
	}
	reason := stanza.Error{Condition: stanza.RemoteServerTimeout, Type: "wait", By: r.Local, Text: "this message was on its way when the server's gate failed; it may not have arrived"}
	return p.bounce(&answered{r: route{dir, pairOf(dir, from.Domain, to.Domain)}, reason: reason}, el)
}
