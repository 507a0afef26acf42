package proxy

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"sallyport/audit"
	"sallyport/certs"
	"sallyport/dialback"
	"sallyport/internal/jid"
	"sallyport/internal/stanza"
	"sallyport/internal/stream"
	"sallyport/policy"
)

const (
	nsTLS      = "urn:ietf:params:xml:ns:xmpp-tls"
	nsSASL     = "urn:ietf:params:xml:ns:xmpp-sasl"
	nsCompress = "http://jabber.org/protocol/compress"
)

// authenticate answers what a stream may say before a pair is proved, and makes the stream trusted once one is: this is the
// only place that does.
func (in *inbound) authenticate(ctx context.Context, s *stream.Stream) (*stream.Trusted, error) {
	for !in.hasProof() {
		el, err := s.Next()
		switch {
		case err == nil:
			err = in.negotiate(ctx, el)
		case errors.Is(err, stream.ErrStanza):
			err = in.premature(ctx, s)
		case isTimeout(err) && in.hasProof():
			err = nil // decide has woken us: what was read of an element so far stays to be read
		default:
			err = in.late(err)
		}
		if err != nil {
			return nil, err
		}
	}
	in.mu.Lock()
	in.trusted = true
	s.SetReadDeadline(time.Time{}) // from here on the peer may take its time
	in.mu.Unlock()
	return s.Trust(), nil
}

// premature meets a stanza that comes before any proof, unless one was under way. A stranger's ends the stream ([C15], RFC 6120
// §4.9.3.12); a backend's is lost, as old servers expect (RFC 3920 §8.3).
func (in *inbound) premature(ctx context.Context, s *stream.Stream) error {
	switch {
	case in.awaitProof(ctx):
		return nil
	case in.door == Outside:
		return &stream.Error{Condition: stream.NotAuthorized, Err: errors.New("a stanza before any domain was proved")}
	}
	in.note(audit.Event{Kind: audit.AuthMisaddressed, Error: "a stanza before any domain was proved"})
	in.log.Warn("a backend sent a stanza before it proved any domain; it was dropped")
	return s.Pass()
}

// late tells a peer that let the time before authentication run out why it is cut off.
func (in *inbound) late(err error) error {
	if isTimeout(err) {
		return &stream.Error{Condition: stream.ConnectionTimeout, Err: fmt.Errorf("no domain was proved in time (limits.%s_preauth_time)", in.door)}
	}
	return err
}

// negotiate answers one first-level element that is not a stanza, in every state of the stream.
func (in *inbound) negotiate(ctx context.Context, el *stanza.Element) error {
	s := in.s.Load()
	switch {
	case in.over != nil:
		return in.reversed(ctx, s, el)
	case el.Is(nsTLS, "starttls"):
		return in.startTLS(ctx, s)
	case el.Is(nsSASL, "auth"):
		return in.external(ctx, s, el)
	case el.Is(dialback.Namespace, "verify"), el.Is(dialback.Namespace, "result"):
		m, err := parseDialback(el)
		return in.dialback(ctx, s, m, err)
	case el.Is(stream.NSBidi, "bidi"):
		in.bidi(s, el)
		return nil
	case spaceOf(el) == stream.NSAcks:
		return in.acknowledge(s, el)
	case el.Is(nsCompress, "compress"):
		_, err := s.Write([]byte("<failure xmlns='" + nsCompress + "'><unsupported-method/></failure>"))
		return err
	case in.door == Inside:
		return nil
	}
	return &stream.Error{Condition: stream.UnsupportedStanzaType, Err: errors.New("an element that no server sends here")}
}

// startTLS secures the stream and forgets what was learnt before ([C11], RFC 6120 §5.4.3.3).
func (in *inbound) startTLS(ctx context.Context, s *stream.Stream) error {
	cfg := in.tlsConfig(s)
	if cfg == nil || s.TLS() != nil || !in.forget() {
		s.Write([]byte("<failure xmlns='" + nsTLS + "'/></stream:stream>"))
		s.Abort()
		return &stream.Error{Condition: stream.PolicyViolation, Err: errors.New("STARTTLS asked for where it is not offered")}
	}
	in.back.Store(nil)
	tlsCtx, cancel := context.WithTimeout(ctx, in.p.now().Limits.TLSHandshake)
	defer cancel()
	tlsCtx, span := in.p.Telemetry.span(tlsCtx, "tls")
	err := s.StartTLS(tlsCtx, cfg)
	endSpan(span, err)
	if err != nil {
		return failure(StepTLS, "", err)
	}
	return nil
}

// dialback takes the part that an XEP-0220 element gives us: authoritative server for a verify, receiving server for a result. err is
// what is wrong with the element.
func (in *inbound) dialback(ctx context.Context, s *stream.Stream, m dialback.Message, err error) error {
	switch {
	case err != nil && in.door == Inside:
		// Other domains may be on the stream (D8), and what is no question has no answer.
		in.note(audit.Event{Kind: audit.DialbackError, From: m.From, To: m.To, Error: err.Error(), Condition: string(stanza.BadRequest)})
		in.log.Warn("a backend's dialback element was ignored", "from", m.From, "to", m.To, "error", err)
		return nil
	case err != nil:
		return &stream.Error{Condition: stream.BadFormat, Err: err}
	case m.Type != "":
		// Answers that nobody asked for change nothing ([B21], ABUSE 1). The first is told; if each were, the peer could fill the disk.
		if in.strayed {
			return nil
		}
		in.strayed = true
		if in.loud() {
			in.note(audit.Event{Kind: audit.AuthUnsolicited, From: m.From, To: m.To, Text: clip(m.Type, 16)})
			in.log.Warn("unsolicited dialback answer ignored, and any further one on this stream", "from", m.From, "to", m.To)
		}
		return nil
	case m.Verify:
		in.answered.Store(true)
		_, err := s.Write(in.p.answerVerify(in.door, in.origin(), m).AppendTo(nil))
		return err
	}
	return in.result(ctx, s, m)
}

// result decides about a sender that wants to be proved (XEP-0220 §2.1.2, PROTOCOL W1, W9, W13).
func (in *inbound) result(ctx context.Context, s *stream.Stream, m dialback.Message) error {
	pair, refusal, err := in.petition(s, m)
	switch {
	case err != nil:
		return err
	case refusal.cond != "" && refusal.lacks == "":
		return in.refuseResult(ctx, s, m, refusal)
	}
	if most, key := in.mostPairs(); in.claimed(pair) >= most {
		return in.refuseResult(ctx, s, m, denied(stanza.ResourceConstraint, "too many pairs on one stream (limits."+key+")"))
	}
	if in.over != nil {
		return in.asserted(ctx, s, m, pair, refusal)
	}
	pr, first := in.claim(pair)
	if !first {
		// Proved already: say so again ([B09]). Under way: its one answer serves both.
		if pr.decided() && pr.valid {
			return in.inTurn(ctx, func() error { return in.reply(s, m, dialback.Valid) })
		}
		return nil
	}
	if facts := in.factsFor(s, pair); refusal.cond == "" && certs.Strength(facts.Proof) > certs.Strength("dialback") {
		// The certificate of this very connection names the domain: no call-back is needed (XEP-0344 §2.4, W8).
		if e := in.prove(s, pair, pr, facts, in.certified(s, pair)); e != nil {
			return e
		}
		return in.inTurn(ctx, func() error { return in.reply(s, m, dialback.Valid) })
	}
	if in.door == Outside && in.pending.Load() >= int32(in.p.now().Limits.PendingPerStream) {
		in.disprove(pair, pr)
		return in.refuseResult(ctx, s, m, denied(stanza.ResourceConstraint, "too many pairs being proved on this stream (limits.pending_per_stream)"))
	}
	if in.door == Inside {
		in.p.shown.add(m.Key)
	}
	in.pending.Add(1)
	turn := in.queueAnswer()
	id := s.ID()
	in.verifying.Go(func() {
		defer in.pending.Add(-1)
		v := verification{pair: pair, proof: pr, message: m, id: id, turn: turn}
		if refusal.lacks != "" {
			in.vouch(ctx, s, v, refusal)
			return
		}
		in.verify(ctx, s, v)
	})
	return nil
}

// refusal is why a db:result is answered with an error instead of being verified.
type refusal struct {
	cond   stanza.Condition
	step   Step // the zero Step is StepDialback's
	reason string
	err    error // in place of the reason
	advice string
	lacks  string // the proof that a look at DNS or the web may still find; empty: none
}

func denied(c stanza.Condition, reason string) refusal { return refusal{cond: c, reason: reason} }

// failure is the refusal as its line has it.
func (r refusal) failure() *Failure {
	err := r.err
	if err == nil {
		err = errors.New(r.reason)
	}
	return &Failure{Step: cmp.Or(r.step, StepDialback), Advice: r.advice, Err: err}
}

// petition checks who asks for what, before a byte is sent on the asker's behalf.
func (in *inbound) petition(s *stream.Stream, m dialback.Message) (Pair, refusal, error) {
	from, errFrom := jid.ParseDomain(m.From)
	to, errTo := jid.ParseDomain(m.To)
	switch err := errors.Join(errFrom, errTo); {
	case in.p.draining.Load():
		return Pair{}, refusal{}, &stream.Error{Condition: stream.SystemShutdown}
	case err != nil && in.door == Inside:
		return Pair{}, denied(stanza.ItemNotFound, err.Error()), nil // D7
	case err != nil:
		return Pair{}, refusal{}, &stream.Error{Condition: stream.ImproperAddressing, Err: err}
	}
	pair := pairOf(in.direction(), from, to)
	settings := in.p.now()
	if in.door == Inside {
		return pair, in.insidePetition(s, settings, pair), nil
	}
	switch {
	case settings.claims(from):
		if in.loud() {
			in.note(audit.Event{Kind: audit.AuthSpoof, From: m.From, To: m.To, Error: "a stranger names a domain of ours as its own"})
		}
		return pair, refusal{}, &stream.Error{Condition: stream.InvalidFrom, Err: fmt.Errorf("%s is one of our own domains", from)}
	case !settings.hosts(to):
		return pair, denied(stanza.ItemNotFound, to.String()+" is not served here"), nil
	case !from.Qualified():
		return pair, denied(stanza.JIDMalformed, "not a domain name of the internet"), nil
	case in.p.down(settings, to):
		if !in.hasProof() {
			return pair, refusal{}, &stream.Error{Condition: stream.InternalServerError, Err: fmt.Errorf("the backend of %s does not answer (limits.backend_down)", to)}
		}
		return pair, denied(stanza.RemoteServerTimeout, "the backend of "+to.String()+" does not answer (limits.backend_down)"), nil
	}
	return pair, in.permitted(s, pair), nil
}

// insidePetition keeps the backend's own names from leaving (D7, D24): a component that is down is not a stranger.
func (in *inbound) insidePetition(s *stream.Stream, settings *Settings, pair Pair) refusal {
	from, to := pair.Local, pair.Remote
	owner, ok := settings.backendOf(from)
	switch {
	case in.backend.TLS >= TLSRequired && s.TLS() == nil:
		return denied(stanza.PolicyViolation, "TLS is required of this backend (backends[].tls)")
	case !ok || owner.Address != in.backend.Address:
		return denied(stanza.ItemNotFound, from.String()+" is not a domain of this backend")
	case settings.claims(to):
		return denied(stanza.ItemNotFound, to.String()+" is a domain of our own")
	case !to.Qualified():
		return denied(stanza.ItemNotFound, to.String()+" is not a domain name of the internet")
	}
	return refusal{}
}

// permitted asks policy about the pair, first whether it may be at all, then as it would be once its key is verified: so
// nothing, not even a DNS question, is sent for a domain that may not federate or comes without what is required of it.
func (in *inbound) permitted(s *stream.Stream, pair Pair) refusal {
	if d := in.p.linkDecision(In, pair, policy.LinkFacts{}); d.Effect != policy.Allow {
		return refusal{cond: stanza.PolicyViolation, step: StepPolicy, err: &ruledOut{d}, advice: adviceShutOut}
	}
	facts := in.factsFor(s, pair)
	d := in.p.linkDecision(In, pair, facts)
	if d.Effect == policy.Allow {
		return refusal{}
	}
	in.p.downgraded(In, pair, d, &facts, in.note)
	switch {
	case facts.Channel == "plaintext" && d.Require.Channel != "plaintext":
		return refusal{cond: stanza.PolicyViolation, step: StepTLS, reason: "TLS is required of " + pair.Remote.String() + ", which goes on without", advice: adviceNoTLS}
	}
	r := refusal{cond: stanza.NotAuthorized, step: StepCert, err: fmt.Errorf("%w%s", &ruledOut{d}, in.flaw(s, pair)), advice: adviceUnproved}
	need := certs.Needed(d.Require.Proof, in.p.known(In, pair, &facts).Proof)
	if facts.CertSPKI != "" && certs.Further(need, certs.Strength(facts.Proof) > certs.Strength("dialback")) != nil {
		r.lacks = need
	}
	return r
}

// refuseResult answers a db:result with an error. The stream stays open for its other pairs, but for a stranger whom policy
// shuts out altogether.
func (in *inbound) refuseResult(ctx context.Context, s *stream.Stream, m dialback.Message, r refusal) error {
	f := r.failure()
	if f.Step == StepCert {
		f.Cert = in.certFacts(s)
	}
	if f.Step == StepPolicy {
		in.failed(m.From, m.To, f, audit.Event{Kind: audit.LinkDeny, Local: m.To, Remote: m.From, Condition: string(r.cond)})
		if !in.hasProof() {
			return &stream.Error{Condition: stream.PolicyViolation, Text: "federation is not allowed", Err: f.Err}
		}
	} else {
		in.failed(m.From, m.To, f, audit.Event{Kind: audit.DialbackError, Condition: string(r.cond)})
	}
	return in.inTurn(ctx, func() error {
		_, err := s.Write(dialback.ErrorReply(m, string(r.cond)).AppendTo(nil))
		return err
	})
}

func (in *inbound) certificateNames(chain []*x509.Certificate, d jid.Domain) bool {
	return len(chain) > 0 && in.p.Certs.Verifier().Verify(chain, d.ASCII()).Proved
}

func (in *inbound) reply(s *stream.Stream, m dialback.Message, v dialback.Verdict) error {
	_, err := s.Write(m.Reply(v).AppendTo(nil))
	return err
}
