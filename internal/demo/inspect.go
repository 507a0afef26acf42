package demo

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// inspectLinks asks the gate what stands, and holds that against what must: each outside link secured and proved, both inside
// links up, none of rival.example.
func (p *play) inspectLinks(ctx context.Context, res *Result) {
	view, err := p.gate.Status(ctx)
	if err != nil {
		res.fault("the gate tells no status: %v", err)
		return
	}
	res.Links = append(res.Links, view.Links...)
	for _, want := range []struct{ door, kind, pair string }{
		{"inside", "in", corp + " → " + partner}, {"inside", "out", partner + " → " + corp},
		{"outside", "in", partner + " → " + corp}, {"outside", "out", corp + " → " + partner},
	} {
		n := slices.IndexFunc(view.Links, func(l Link) bool {
			return l.Door == want.door && l.Kind == want.kind && l.State == "up" && slices.Contains(l.Pairs, want.pair)
		})
		if n < 0 {
			res.fault("no link %s, %s for %s", want.door, want.kind, want.pair)
		} else if l := view.Links[n]; l.Door == "outside" && (l.Channel != "tls" || l.Proof != "pkix") {
			res.fault("the outside link %s has channel %s and proof %s, must be tls and pkix", want.pair, l.Channel, l.Proof)
		}
	}
	for _, l := range view.Links {
		if l.Door == "outside" && l.State == "up" && strings.Contains(strings.Join(l.Pairs, " "), rival) {
			res.fault("a link with %s stands: %s", rival, l.Pairs)
		}
	}
	p.show.links(view.Links)
}

// entry is a line of the record, as far as the demo reads it (DESIGN §4.4).
type entry struct {
	Kind   string `json:"kind"`
	From   string `json:"from"`
	Local  string `json:"local"`
	Remote string `json:"remote"`
	Stanza struct {
		ID string `json:"id"`
	} `json:"stanza"`
	Decision struct {
		Effect string `json:"effect"`
	} `json:"decision"`
}

// inspectRecord has the gate's own check done, and then finds each attempt in the record without the gate's help.
func (p *play) inspectRecord(ctx context.Context, f folder, res *Result) {
	view, err := p.gate.VerifyRecord(ctx)
	res.RecordEvents, res.RecordVerified = view.Events, err == nil && view.Problem == ""
	if !res.RecordVerified {
		res.fault("the record does not verify: %s", cmp.Or(view.Problem, fmt.Sprint(err)))
	}
	entries, err := readRecord(f.record())
	if err != nil {
		res.fault("the record cannot be read: %v", err)
	}
	p.show.record(view, res.RecordVerified, p.ledger.compare(entries))
}

// compare finds the attempts among the entries, by stanza id and sender, or by the refusal of the sender's whole domain, and
// says how many are missing.
func (l *ledger) compare(entries []entry) (missing int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	effects, refused := make(map[string]string), make(map[string]bool)
	for _, e := range entries {
		switch e.Kind {
		case "stanza":
			effects[e.Stanza.ID+" "+e.From] = e.Decision.Effect
		case "link.deny":
			refused[e.Remote] = true
		}
	}
	for _, a := range l.attempts {
		a.record = effects[a.id+" "+a.from]
		_, domain, _ := strings.Cut(a.from, "@")
		if a.record == "" && refused[domain] && !a.delivered {
			a.record = atLink
		}
		if a.record == "" {
			missing++
		}
	}
	return missing
}

// readRecord reads all segments of an audit directory: JSON, one event a line.
func readRecord(dir string) ([]entry, error) {
	segments, err := filepath.Glob(filepath.Join(dir, "*.jsonl"))
	if err != nil {
		return nil, err
	}
	slices.Sort(segments)
	var entries []entry
	for _, name := range segments {
		text, err := os.ReadFile(name)
		if err != nil {
			return entries, err
		}
		lines := bufio.NewScanner(bytes.NewReader(text))
		for n := 1; lines.Scan(); n++ {
			var e entry
			if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
				return entries, fmt.Errorf("%s:%d: %w", name, n, err)
			}
			entries = append(entries, e)
		}
		if err := lines.Err(); err != nil {
			return entries, fmt.Errorf("%s: %w", name, err)
		}
	}
	return entries, nil
}

// inspectWire sums up the taps on the outside wire. Nobody may have called rival.example or asked where it is; its own call to
// the gate is counted with the others.
func (p *play) inspectWire(res *Result) {
	toGate, toPartner, toRival := p.cast.toGate.Crossed(), p.cast.toPartner.Crossed(), p.cast.toRival.Crossed()
	all := toGate.Add(toPartner).Add(toRival)
	res.Exposed, res.Secured = all.Exposed, all.Secured
	if all.Exposed > 0 {
		res.fault("%d bytes of stanzas or keys crossed the outside wire in clear: %q", all.Exposed, all.Samples)
	}
	if toGate.Secured == 0 || toPartner.Secured == 0 {
		res.fault("nothing crossed the outside wire in TLS: the taps stand in the wrong place")
	}
	if toRival.Connections > 0 {
		res.fault("the gate called %s %d times", rival, toRival.Connections)
	}
	if n := p.cast.names.Asked(rival); n > 0 {
		res.fault("the gate asked DNS for %s %d times", rival, n)
	}
	p.show.wire(all)
}
