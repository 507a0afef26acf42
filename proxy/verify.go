package proxy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"golang.org/x/sync/semaphore"

	"sallyport/audit"
	"sallyport/dialback"
	"sallyport/internal/jid"
	"sallyport/internal/stanza"
	"sallyport/internal/stream"
	"sallyport/policy"
)

// verification is one db:result that is being checked with the authoritative server.
type verification struct {
	pair    Pair
	proof   *proof
	message dialback.Message
	id      string     // our stream id that the key is over
	turn    [2]*answer // the answer before ours, and ours
}

// verify asks whoever is authoritative for the sender, and answers its db:result. It runs beside the reading goroutine.
func (in *inbound) verify(ctx context.Context, s *stream.Stream, v verification) {
	defer close(v.turn[1].said)
	verdict, err := in.ask(ctx, v)
	v.turn[0].await(ctx)
	if s.ID() != v.id {
		// The stream restarted (TLS, SASL): the question belongs to a stream that is no more ([C11]).
		in.disprove(v.pair, v.proof)
		return
	}
	switch {
	case err != nil:
		in.disprove(v.pair, v.proof)
		in.unverified(s, v, err)
	case verdict == dialback.Valid:
		// The pair is proved before its peer hears so, or its first stanza could come too early.
		if e := in.prove(s, v.pair, v.proof, in.factsFor(s, v.pair)); e != nil {
			in.hangUp(e)
			return
		}
		in.note(audit.Event{Kind: audit.DialbackValid, From: v.message.From, To: v.message.To})
		in.reply(s, v.message, dialback.Valid)
	default:
		in.disprove(v.pair, v.proof)
		in.forged(s, v)
	}
}

// vouch answers a db:result for which policy wants more than dialback, when the certificate alone does not give it: it looks at what
// the domain's DNS and its web server say of the certificate ([I20], [I21], [I23]). r is the answer when that does not help.
func (in *inbound) vouch(ctx context.Context, s *stream.Stream, v verification, r refusal) {
	defer close(v.turn[1].said)
	state := s.TLS()
	facts := in.factsFor(s, v.pair)
	_, err := in.p.asking.do(ctx, in, v.pair, func(ctx context.Context) (dialback.Verdict, error) {
		in.p.describeCert(&facts, state, in.p.identifyClient(ctx, v.pair.Remote, state.PeerCertificates, *r.lacks))
		return dialback.Invalid, nil
	})
	v.turn[0].await(ctx)
	if s.ID() != v.id {
		in.disprove(v.pair, v.proof)
		return
	}
	if err != nil {
		in.disprove(v.pair, v.proof)
		in.unverified(s, v, err)
		return
	}
	if strength[facts.Proof] < strength[r.lacks.Proof] || in.p.linkDecision(In, v.pair, facts).Effect != policy.Allow {
		in.disprove(v.pair, v.proof)
		if err := in.refuseResult(ctx, s, v.message, r); err != nil {
			in.log.Info("the refusal of a db:result could not be sent", "error", err)
		}
		return
	}
	if e := in.prove(s, v.pair, v.proof, facts); e != nil {
		in.hangUp(e)
		return
	}
	in.reply(s, v.message, dialback.Valid)
}

// ask puts the question to the authoritative server: outside the one that DNS names, inside the backend's configured address
// (D1: never DNS, which would lead to ourselves).
func (in *inbound) ask(ctx context.Context, v verification) (dialback.Verdict, error) {
	ctx, span := in.p.Telemetry.span(ctx, "dialback")
	question := dialback.Message{Verify: true, From: v.message.To, To: v.message.From, ID: v.id, Key: v.message.Key}
	verdict, err := in.p.asking.do(ctx, in, v.pair, func(ctx context.Context) (dialback.Verdict, error) {
		return in.p.ask(ctx, route{in.direction().reverse(), v.pair}, question)
	})
	span.SetAttributes(attribute.String("sallyport.verdict", verdict.String()))
	endSpan(span, err)
	return verdict, err
}

// unverified answers a db:result that could not be checked ([B07], [B07a], W9, D3).
func (in *inbound) unverified(s *stream.Stream, v verification, err error) {
	f := failure(StepDialback, "", err)
	cond := stanza.RemoteServerNotFound
	var said *stream.Error
	unknown := errors.As(err, &said) && said.Received && (said.Condition == stream.HostUnknown || said.Condition == stream.HostGone)
	if in.door == Inside || isTimeout(err) || errors.Is(err, errUnanswered) && !unknown {
		cond = stanza.RemoteServerTimeout
	}
	if errors.Is(err, errBusy) {
		cond = stanza.ResourceConstraint
	}
	told := *f
	told.Err = fmt.Errorf("asking the authoritative server: %w", f.Err)
	in.failed(v.message.From, v.message.To, &told, audit.Event{Kind: audit.DialbackError, Condition: string(cond)})
	s.Write(dialback.ErrorReply(v.message, string(cond)).AppendTo(nil))
}

// forged answers a wrong key: invalid and the end of the stream, or an error when other pairs live on it ([B06]).
func (in *inbound) forged(s *stream.Stream, v verification) {
	f := &Failure{Step: StepDialback, Err: errors.New("the authoritative server says that the key is not its own")}
	switch {
	case in.door == Outside:
		f.Advice = "somebody else calls in this domain's name, or its servers do not share one dialback secret"
	case in.p.asking.disowned(in):
		f.Err, f.Ours = fmt.Errorf("the backend at %s disowns keys again and again that its address shows", in.backend.Address), true
		f.Advice = "somebody impersonates it: who else can send from its address?"
	default:
		f.Err = fmt.Errorf("the backend at %s disowns a key that its address shows", in.backend.Address)
		f.Advice = "it restarted just now, or somebody impersonates it"
	}
	in.failed(v.message.From, v.message.To, f, audit.Event{Kind: audit.DialbackInvalid})
	if in.hasProof() {
		s.Write(dialback.ErrorReply(v.message, string(stanza.Forbidden)).AppendTo(nil))
		return
	}
	in.reply(s, v.message, dialback.Invalid)
	s.Close()
}

// answerVerify answers, as authoritative server, whether a key is one of ours. It needs no state outside, and inside only the
// ids of our own streams, so it holds in every state of every stream ([B17], D4, D12, D13).
func (p *Proxy) answerVerify(d Door, m dialback.Message) dialback.Message {
	from, errFrom := jid.ParseDomain(m.From)
	to, errTo := jid.ParseDomain(m.To)
	settings := p.now()
	ours := settings.hosts(to)
	if d == Inside {
		ours = !settings.claims(to) && settings.hosts(from)
	}
	if errFrom != nil || errTo != nil || !ours {
		return dialback.ErrorReply(m, string(stanza.ItemNotFound))
	}
	valid := p.secret(d).Verify(dialback.Challenge{Receiving: from.String(), Originating: to.String(), StreamID: m.ID}, m.Key)
	if d == Inside {
		valid = valid && p.innerIDs.has(m.ID)
	}
	p.instruments.verified(d, valid)
	if !valid {
		p.Record.Note(audit.Event{Kind: audit.DialbackInvalid, From: m.From, To: m.To, Error: "asked as authoritative server: not a key of ours"})
		p.Log.Warn("a key that we did not issue was shown in our name", "door", d.String(), "shown_to", m.From, "shown_by", m.To)
		return m.Reply(dialback.Invalid)
	}
	return m.Reply(dialback.Valid)
}

// errUnanswered: the authoritative server was reached and asked.
var errUnanswered = errors.New("waiting for the answer to db:verify")

// ask opens a short connection of its own, puts one question, and takes one answer ([B03]–[B05]).
func (p *Proxy) ask(ctx context.Context, r route, q dialback.Message) (dialback.Verdict, error) {
	c, err := p.connect(ctx, r, r.dir.reverse())
	if err != nil {
		return dialback.Invalid, err
	}
	verdict, err := p.put(ctx, c.s, q)
	p.part(c.s, func() { finish(c.s, err) })
	return verdict, err
}

// put puts a question on a stream of its own.
func (p *Proxy) put(ctx context.Context, s *stream.Stream, q dialback.Message) (dialback.Verdict, error) {
	stop := context.AfterFunc(ctx, s.Abort)
	defer stop()
	peer := s.RemoteAddr().String()
	if _, err := s.Write(q.AppendTo(nil)); err != nil {
		return dialback.Invalid, failure(StepDialback, peer, err)
	}
	strays := strays{p: p, s: s}
	for {
		el, err := s.Next()
		if err != nil {
			return dialback.Invalid, failure(StepDialback, peer, fmt.Errorf("%w: %w", errUnanswered, cmp.Or(ctx.Err(), err)))
		}
		m, err := parseDialback(el)
		if !el.Is(dialback.Namespace, "verify") || err != nil || !m.Answers(q) {
			strays.pass(el)
			continue
		}
		if m.Type == "error" {
			return dialback.Invalid, failure(StepDialback, peer, fmt.Errorf("the authoritative server answered %s", clip(m.Condition, 64)))
		}
		return m.Verdict(), nil
	}
}

// innerIDs are the ids that backends gave to our inner streams while those live: a key over any other id is an old one (D13).
type innerIDs struct {
	mu  sync.Mutex
	ids map[string]int
}

func (i *innerIDs) add(id string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.ids == nil {
		i.ids = make(map[string]int)
	}
	i.ids[id]++
}

func (i *innerIDs) remove(id string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.ids[id]--; i.ids[id] <= 0 {
		delete(i.ids, id)
	}
}

func (i *innerIDs) has(id string) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.ids[id] > 0
}

// asking bounds the connections that strangers make us open: in total, per address, per domain that is asked, and none to a domain
// that just failed ([B10]); and those that a backend makes us open to itself (D3).
type asking struct {
	slots *semaphore.Weighted

	mu       sync.Mutex
	byAddr   map[netip.Addr]int
	byDomain map[jid.Domain]int
	failed   map[jid.Domain]failedAsk
	backends map[string]*callbacks
}

type failedAsk struct {
	until time.Time
	err   error
}

// callbacks are the questions to one backend.
type callbacks struct {
	slots    *semaphore.Weighted
	disowned time.Time // when it last disowned a key,
	link     string    // and on which stream that was shown
}

var errBusy = errors.New("too many verifications are under way")

const maxFailedAsks = 4096

func (a *asking) init(total int) {
	a.slots = semaphore.NewWeighted(int64(total))
	a.byAddr = make(map[netip.Addr]int)
	a.byDomain = make(map[jid.Domain]int)
	a.failed = make(map[jid.Domain]failedAsk)
	a.backends = make(map[string]*callbacks)
}

// do runs one question within the bounds. A stranger that is beyond them is refused; a backend waits, for it takes a refusal for the
// end of a stream that may carry all its domains (D8).
func (a *asking) do(ctx context.Context, in *inbound, pair Pair, question func(context.Context) (dialback.Verdict, error)) (dialback.Verdict, error) {
	limits := &in.p.now().Limits
	if in.door == Inside {
		slots := a.backend(in.backend.Address, limits.PendingPerStream).slots
		if err := slots.Acquire(ctx, 1); err != nil {
			return dialback.Invalid, err
		}
		defer slots.Release(1)
		ctx, cancel := context.WithTimeout(ctx, limits.Callback)
		defer cancel()
		return question(ctx)
	}
	if err := a.recent(pair.Remote); err != nil {
		return dialback.Invalid, err
	}
	addr := in.origin()
	if !a.enter(addr, pair.Remote, limits) {
		return dialback.Invalid, errBusy
	}
	defer a.leave(addr, pair.Remote)
	if !a.slots.TryAcquire(1) {
		return dialback.Invalid, errBusy
	}
	defer a.slots.Release(1)
	ctx, cancel := context.WithTimeout(ctx, limits.Verify)
	defer cancel()
	verdict, err := question(ctx)
	if err != nil && ctx.Err() != context.Canceled {
		a.remember(pair.Remote, err, in.p.now().Limits.NegativeVerify)
	}
	return verdict, err
}

func (a *asking) enter(addr netip.Addr, d jid.Domain, limits *Limits) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.byAddr[addr] >= limits.PendingPerAddress || a.byDomain[d] >= limits.PendingPerDomain {
		return false
	}
	a.byAddr[addr]++
	a.byDomain[d]++
	return true
}

func (a *asking) leave(addr netip.Addr, d jid.Domain) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.byAddr[addr]--; a.byAddr[addr] <= 0 {
		delete(a.byAddr, addr)
	}
	if a.byDomain[d]--; a.byDomain[d] <= 0 {
		delete(a.byDomain, d)
	}
}

// backend gives the place of one backend's questions; at once so many of them run.
func (a *asking) backend(address string, atOnce int) *callbacks {
	a.mu.Lock()
	defer a.mu.Unlock()
	c := a.backends[address]
	if c == nil {
		c = &callbacks{slots: semaphore.NewWeighted(int64(atOnce))}
		a.backends[address] = c
	}
	return c
}

// disowned notes that a backend disowned a key that was shown in its name. again says that it did so not long ago on another stream:
// one such key may have been on its way when the backend restarted with a new secret, two are an alarm (D3, 11.9 no. 24).
func (a *asking) disowned(in *inbound) (again bool) {
	const memory = 10 * time.Minute
	c := a.backend(in.backend.Address, in.p.now().Limits.PendingPerStream)
	a.mu.Lock()
	defer a.mu.Unlock()
	now := time.Now()
	again = c.link != "" && c.link != in.id && now.Sub(c.disowned) < memory
	c.link, c.disowned = in.id, now
	return again
}

func (a *asking) recent(d jid.Domain) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	f, ok := a.failed[d]
	if !ok {
		return nil
	}
	if time.Now().After(f.until) {
		delete(a.failed, d)
		return nil
	}
	return fmt.Errorf("not asked again for a while: %w", f.err)
}

func (a *asking) remember(d jid.Domain, err error, wait time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.failed) >= maxFailedAsks {
		clear(a.failed)
	}
	a.failed[d] = failedAsk{until: time.Now().Add(wait), err: err}
}
