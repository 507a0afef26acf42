package proxy

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"go.opentelemetry.io/otel/attribute"

	"sallyport/audit"
	"sallyport/certs"
	"sallyport/dialback"
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
		if e := in.prove(s, v.pair, v.proof, in.factsFor(s, v.pair), in.certified(s, v.pair)); e != nil {
			in.hangUp(e)
			return
		}
		if !v.proof.valid {
			return // the stream restarted just now
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
	var by judged
	_, err := in.p.asking.do(ctx, in, v.pair, func(ctx context.Context) (dialback.Verdict, error) {
		by = in.p.identifyClient(ctx, v.pair.Remote, state.PeerCertificates, r.lacks)
		return dialback.Invalid, nil
	})
	in.p.describeCert(&facts, state, by.Result)
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
	if certs.Strength(facts.Proof) < certs.Strength(r.lacks) || in.p.linkDecision(In, v.pair, facts).Effect != policy.Allow {
		in.disprove(v.pair, v.proof)
		if err := in.refuseResult(ctx, s, v.message, r); err != nil {
			in.log.Info("the refusal of a db:result could not be sent", "error", err)
		}
		return
	}
	if e := in.prove(s, v.pair, v.proof, facts, by); e != nil {
		in.hangUp(e)
		return
	}
	if v.proof.valid { // else the stream restarted just now
		in.reply(s, v.message, dialback.Valid)
	}
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
