package proxy

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"sallyport/certs"
	"sallyport/internal/stanza"
	"sallyport/internal/stream"
	"sallyport/policy"
)

// watch judges live links again when the time has come: a peer's entry in policy ends on a day, and so does the certificate that
// proves a peer ([C28], [I11]). One goroutine does so for all links.
type watch struct {
	p      *Proxy
	sooner chan struct{} // buffered: a link is due earlier than next
	all    atomic.Bool   // every link is due
	next   atomic.Int64  // when the next link is due, Unix nanoseconds; 0: not known
}

func (w *watch) init(p *Proxy) {
	w.p, w.sooner = p, make(chan struct{}, 1)
}

// at makes sure that links are looked at when t comes; zero never comes.
func (w *watch) at(t time.Time) {
	if t.IsZero() {
		return
	}
	if next := w.next.Load(); next != 0 && next <= t.UnixNano() {
		return
	}
	w.nudge()
}

// everything makes all links due. However often it is called, they are not looked at more than once in a breath.
func (w *watch) everything() {
	w.all.Store(true)
	w.nudge()
}

func (w *watch) nudge() {
	select {
	case w.sooner <- struct{}{}:
	default:
	}
}

func (w *watch) run(ctx context.Context) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.sooner:
		case <-timer.C:
		}
		w.next.Store(0) // whoever comes while we look may be passed over
		next := time.Now().Add(time.Hour)
		if due := w.p.review(w.all.Swap(false)); !due.IsZero() && due.Before(next) {
			next = due
		}
		w.next.Store(next.UnixNano())
		timer.Reset(time.Until(next))
		select {
		case <-ctx.Done():
			return
		case <-time.After(breath):
		}
	}
}

// breath is the least time between two looks: links that come up all the time must not keep us looking.
const breath = time.Second

// review judges the live links that are due, or all of them, and closes those that settings and policy now in force do not allow.
// It returns when the next one is due, zero for never.
func (p *Proxy) review(all bool) (next time.Time) {
	now := time.Now()
	for d := range p.doors {
		for _, in := range p.doors[d].live() {
			next = sooner(next, in.review(now, all))
		}
	}
	for _, o := range p.router.live() {
		next = sooner(next, o.review(now, all))
		if in := o.half(); in != nil {
			next = sooner(next, in.review(now, all))
		}
	}
	return next
}

// review judges an inbound link again if it is due. It returns when it is due next.
func (in *inbound) review(now time.Time, anyway bool) time.Time {
	in.mu.Lock()
	if due := in.due; !anyway && (due.IsZero() || now.Before(due)) {
		in.mu.Unlock()
		return due
	}
	in.due = time.Time{}
	proofs := make(map[Pair]*proof, len(in.pairs))
	for pair, pr := range in.pairs {
		if pr.valid {
			proofs[pair] = pr
		}
	}
	in.mu.Unlock()
	e := in.misplaced()
	for pair, pr := range proofs {
		if e == nil {
			e = in.unwanted(pair, pr)
		}
	}
	if e != nil {
		// The peer may take its time to read why, and others are to be judged.
		in.p.links.Go(func() { in.hangUp(e) })
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.due
}

// misplaced says why a backend's stream may stand no longer: it comes from an address that is no backend's, or another one's.
func (in *inbound) misplaced() *stream.Error {
	if in.door == Outside {
		return nil
	}
	if backend, ok := in.p.now().backendAt(in.peer.Addr()); !ok || backend.Address != in.backend.Address {
		return &stream.Error{Condition: stream.HostGone, Err: errors.New("the backend is no longer configured")}
	}
	return nil
}

// unwanted says why a pair may be carried on this stream no longer, as settings and policy now are; nil when it may. It notes when to
// ask again.
func (in *inbound) unwanted(pair Pair, pr *proof) *stream.Error {
	settings := in.p.now()
	owner, ok := settings.backendOf(pair.Local)
	switch {
	case !ok, in.door == Inside && owner.Address != in.backend.Address:
		return &stream.Error{Condition: stream.HostGone, Err: errors.New(pair.Local.String() + " is no longer served here")}
	case settings.claims(pair.Remote):
		return &stream.Error{Condition: stream.HostGone, Err: errors.New(pair.Remote.String() + " is a domain of our own now")}
	case in.door == Inside:
		return nil
	case ended(expiry(&pr.facts)):
		return &stream.Error{Condition: stream.Reset, Text: "the certificate has expired", Err: errors.New("the peer's certificate has expired")}
	}
	facts, err := in.p.reviewed(pr.facts, in.s.Load().TLS(), pr.by)
	if err != nil {
		return &stream.Error{Condition: stream.Reset, Text: "prove yourself again", Err: err}
	}
	d := in.p.linkDecision(In, pair, facts)
	if d.Effect != policy.Allow {
		return &stream.Error{Condition: stream.PolicyViolation, Text: "federation is not allowed", Err: &ruledOut{d}}
	}
	until := sooner(pr.by.until, in.p.tightens(In, pair, &facts))
	in.mu.Lock()
	in.due = sooner(in.due, dueAfter(d, &facts, until))
	due := in.due
	in.mu.Unlock()
	in.p.watch.at(due)
	return nil
}

// review judges an outbound link again if it is due. It returns when it is due next.
func (o *outbound) review(now time.Time, anyway bool) time.Time {
	o.mu.Lock()
	due, backend := o.due, o.backend
	o.mu.Unlock()
	if !anyway && (due.IsZero() || now.Before(due)) {
		return due
	}
	if f := o.unwanted(); f != nil {
		o.stop(f)
		return time.Time{}
	}
	owner, _ := o.p.now().backendOf(o.r.pair.Local)
	if o.facts.Load() != nil && o.r.dir == In && owner != nil && owner.Address != backend {
		o.renew(errors.New("the backend has moved"))
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.due
}

// renew ends the stream, and begins another one if there is something to carry.
func (o *outbound) renew(why error) {
	select {
	case o.redo <- &stream.Error{Condition: stream.Reset, Err: why}:
	default:
	}
}

// unwanted says why the link may stand no longer, as settings and policy now are; nil when it may. It notes when to ask again. A stream
// whose peer is proved no longer begins anew.
func (o *outbound) unwanted() *Failure {
	settings := o.p.now()
	switch {
	case !settings.hosts(o.r.pair.Local):
		return &Failure{Step: StepPolicy, Condition: stanza.ItemNotFound, Permanent: true, Err: errors.New(o.r.pair.Local.String() + " is no longer served here")}
	case settings.claims(o.r.pair.Remote):
		return &Failure{Step: StepPolicy, Condition: stanza.ItemNotFound, Permanent: true, Err: errors.New(o.r.pair.Remote.String() + " is a domain of our own now")}
	case o.r.dir == In:
		return nil
	}
	var facts policy.LinkFacts
	stands := o.facts.Load()
	if stands != nil {
		o.mu.Lock()
		by := o.by
		o.mu.Unlock()
		var err error
		if facts, err = o.p.reviewed(*stands, o.s.Load().TLS(), by); err == nil && ended(expiry(stands)) {
			err = errors.New("the peer's certificate has expired")
		}
		if err != nil {
			o.mu.Lock()
			o.due = time.Time{} // the next stream has its own
			o.mu.Unlock()
			o.renew(err)
			return nil
		}
	}
	d := o.p.linkDecision(Out, o.r.pair, facts)
	switch {
	case d.Effect == policy.Allow:
	case stands != nil && o.p.linkDecision(Out, o.r.pair, policy.LinkFacts{}).Effect == policy.Allow:
		// It may federate, but not like this.
		return &Failure{Step: StepCert, Condition: stanza.Condition(d.Condition), Permanent: true, Advice: adviceUnproved,
			Err: &ruledOut{d}}
	default:
		return shutOut(d)
	}
	var until time.Time
	if stands != nil {
		until = o.p.tightens(Out, o.r.pair, &facts)
	}
	o.mu.Lock()
	due := dueAfter(d, &facts, sooner(o.by.until, until))
	o.due = due
	o.mu.Unlock()
	o.p.watch.at(due)
	return nil
}

// recheck is how often a link is held against the lists of revoked certificates. Who never looks never fetches them anew.
const recheck = time.Hour

// dueAfter is when a link has to be judged again: when its terms change by themselves, and when the certificate that proves the peer
// ends, or what was said of it until a time. A policy that reads the clock without a word about it is asked every minute, and so is one whose moment has passed.
func dueAfter(d policy.LinkDecision, facts *policy.LinkFacts, until time.Time) time.Time {
	now := time.Now()
	due := sooner(d.Until, sooner(expiry(facts), until))
	if facts.Revocation != "" {
		due = sooner(due, now.Add(recheck))
	}
	if d.Uncacheable || !due.IsZero() && !due.After(now) {
		due = sooner(future(due, now), now.Add(time.Minute))
	}
	return due
}

// future gives t if it is still to come; zero stands for never.
func future(t, now time.Time) time.Time {
	if t.After(now) {
		return t
	}
	return time.Time{}
}

// expiry is when the certificate that proves the peer ends; zero when none does.
func expiry(facts *policy.LinkFacts) time.Time {
	if facts.Proof != certs.ProofPKIX && facts.Proof != certs.ProofPOSH && facts.Proof != certs.ProofDANE {
		return time.Time{}
	}
	t, err := time.Parse(time.RFC3339, facts.CertNotAfter)
	if err != nil {
		return time.Time{}
	}
	return t
}

// ended says whether a time has come; zero never comes.
func ended(t time.Time) bool { return !t.IsZero() && !time.Now().Before(t) }

// sooner gives the earlier of two times; zero stands for never.
func sooner(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
