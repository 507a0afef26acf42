package proxy

import (
	"cmp"
	"slices"
	"time"

	"sallyport/policy"
)

// Snapshot is what the gate looks like at one moment: for people, status and metrics.
type Snapshot struct {
	Started  time.Time `json:"started"`
	Draining bool      `json:"draining"`
	Revision string    `json:"policy_revision"`
	// Observing says that what policy refuses passes (policy.mode).
	Observing bool                `json:"policy_observing"`
	Sources   []policy.FeedStatus `json:"policy_sources,omitempty"`
	// Ending are the grants and dated peers that have ended or soon will.
	Ending []policy.Exception `json:"policy_ending,omitempty"`
	Links  []LinkSnapshot     `json:"links"`
	Failed []FailedRoute      `json:"failed"` // routes out that could not be opened lately
	// Candidate is where a draft of another policy differs; nil when there is none.
	Candidate *policy.Comparison `json:"candidate,omitempty"`
}

// LinkSnapshot is one stream. An outbound link has one pair; an inbound one those that were proved on it.
type LinkSnapshot struct {
	ID      string    `json:"id"`
	Door    string    `json:"door"`           // inside, outside
	Kind    string    `json:"kind"`           // in: the peer sends; out: we do
	Pairs   []string  `json:"pairs"`          // "from → to"
	State   State     `json:"state"`          // opening, up, waiting
	Channel string    `json:"channel"`        // plaintext, tls
	Proof   string    `json:"proof"`          // none, dialback, dialback+tls, pkix
	TLS     string    `json:"tls"`            // version and cipher
	Peer    string    `json:"peer"`           // address
	Over    string    `json:"over,omitempty"` // the link whose stream it shares; empty: it has one of its own
	Since   time.Time `json:"since"`
	Stanzas uint64    `json:"stanzas"` // carried so far
	Queue   int       `json:"queue"`   // stanzas waiting
	Bytes   int       `json:"queue_bytes"`
}

// FailedRoute is a pair whose link out could not be made. Until Next its stanzas are bounced at once; with the first after that it is tried
// again.
type FailedRoute struct {
	Pair   string    `json:"pair"` // "from → to"
	Step   Step      `json:"step"`
	Error  string    `json:"error"`
	Advice string    `json:"advice,omitempty"`
	Next   time.Time `json:"next"`
}

// Snapshot lists all links, sorted by door and pair.
func (p *Proxy) Snapshot() Snapshot {
	rules := p.Policy.Snapshot()
	snap := Snapshot{Started: p.started, Draining: p.draining.Load(), Revision: rules.Revision(), Observing: rules.Observing(), Links: []LinkSnapshot{}, Candidate: p.Policy.Shadow().Comparison(),
		Ending: p.Policy.Ending(time.Now())}
	for _, f := range p.Feeds {
		snap.Sources = append(snap.Sources, f.Status())
	}
	for _, d := range []Door{Inside, Outside} {
		for _, in := range p.doors[d].live() {
			snap.Links = append(snap.Links, in.snapshot())
		}
	}
	for _, o := range p.router.live() {
		snap.Links = append(snap.Links, o.snapshot())
		if in := o.half(); in != nil {
			snap.Links = append(snap.Links, in.snapshot())
		}
	}
	slices.SortFunc(snap.Links, func(a, b LinkSnapshot) int {
		return cmp.Or(cmp.Compare(a.Door, b.Door), cmp.Compare(a.Kind, b.Kind), slices.Compare(a.Pairs, b.Pairs), cmp.Compare(a.ID, b.ID))
	})
	snap.Failed = p.router.failures()
	slices.SortFunc(snap.Failed, func(a, b FailedRoute) int { return cmp.Compare(a.Pair, b.Pair) })
	return snap
}

func (in *inbound) snapshot() LinkSnapshot {
	in.mu.Lock()
	defer in.mu.Unlock()
	l := LinkSnapshot{ID: in.id, Door: in.door.String(), Kind: "in", State: Opening, Pairs: []string{}, Peer: in.peer.String(), Since: in.opened, Stanzas: in.carried.Load()}
	l.describe(in.first)
	for pair, pr := range in.pairs {
		if pr.valid {
			l.State = Up
			l.Pairs = append(l.Pairs, arrow(route{in.direction(), pair}))
		}
	}
	slices.Sort(l.Pairs)
	if in.over != nil {
		l.Over = in.over.id
	}
	return l
}

func (o *outbound) snapshot() LinkSnapshot {
	o.mu.Lock()
	defer o.mu.Unlock()
	l := LinkSnapshot{ID: o.id, Door: o.r.dir.exit().String(), Kind: "out", Pairs: []string{arrow(o.r)}, State: o.state, Peer: o.remote, Since: o.since,
		Stanzas: o.carried.Load(), Queue: len(o.next.items) + o.inFlight, Bytes: len(o.next.buf) + o.keptBytes}
	if l.describe(o.facts.Load()); o.state == Up {
		l.Over = o.over
	}
	return l
}

func (l *LinkSnapshot) describe(f *policy.LinkFacts) {
	if f != nil {
		l.Channel, l.Proof, l.TLS = f.Channel, f.Proof, tlsName(*f)
	}
}

func arrow(r route) string { return r.from().String() + " → " + r.to().String() }

func tlsName(f policy.LinkFacts) string {
	if f.TLSVersion == "" {
		return ""
	}
	return f.TLSVersion + " " + f.Cipher
}
