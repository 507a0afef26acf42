package probe

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"sallyport/internal/ratchet"
)

// maxKeysShown bounds the page; `sallyport peers show` has them all.
const maxKeysShown = 3

func (m *Memory) page(p *page) {
	p.title("What is remembered (ratchet.mode %s)", m.Mode)
	switch {
	case m.Problem != "":
		p.row("unknown", "%s", m.Problem)
		return
	case m.Peer == nil:
		p.row("nothing", "it was never met")
		return
	}
	day := func(t time.Time) string { return t.Local().Format(time.DateOnly) }
	p.row("met", "first on %s, last on %s, %d links", day(m.Peer.First), day(m.Peer.Last), m.Peer.Links)
	for _, face := range []struct {
		way string
		ratchet.Face
	}{{"to it", m.Peer.Out}, {"from it", m.Peer.In}} {
		if face.Channel.Best != "" {
			p.row(face.way, "%s since %s, %s since %s", face.Channel.Best, day(face.Channel.Since), face.Proof.Best, day(face.Proof.Since))
		}
	}
	keys := slices.SortedFunc(slices.Values(m.Peer.Keys), func(a, b ratchet.Key) int { return -cmp.Compare(a.Last.UnixNano(), b.Last.UnixNano()) })
	for i, k := range keys[:min(len(keys), maxKeysShown)] {
		p.row(label(i, "keys"), "sha256/%s, last on %s, issued by %s", clean(k.SPKI), day(k.Last), clean(k.Issuer))
	}
	for i, pin := range m.Peer.Pins {
		p.row(label(i, "pinned"), "%s", clean(pin))
	}
}

func (pl *Policy) page(p *page) {
	p.title("What our policy says (revision %s)", pl.Revision)
	pl.Out.page(p, "to it")
	pl.In.page(p, "from it")
}

func (j *Judgement) page(p *page, way string) {
	word := "refused"
	if j.Allowed {
		word = "allowed"
	}
	p.row(way, "%s by rule %s%s%s", word, j.Rule, yes(j.Reason != "", ": "+j.Reason), yes(j.Would != "", " (mode observe; enforce would "+j.Would+")"))
	p.row("", "asks for %s%s", j.Require, yes(j.Until != nil, j.ends()))
	if j.Channel != "" {
		p.row("", "the link has %s, proof %s", j.Channel, j.Proof)
	}
	if j.Held != (Terms{}) {
		p.row("", "held to %s, which it proved before", j.Held)
	}
}

func (j *Judgement) ends() string {
	if j.Until == nil {
		return ""
	}
	return ", until " + j.Until.Format(time.DateTime) + " UTC"
}

// String lists the terms.
func (t Terms) String() string {
	var all []string
	for _, term := range []struct{ name, value string }{{"channel", t.Channel}, {"proof", t.Proof}, {"TLS", t.TLSMin}, {"pinned keys:", t.Pin}} {
		if term.value != "" {
			all = append(all, fmt.Sprintf("%s %s", term.name, term.value))
		}
	}
	return strings.Join(all, ", ")
}
