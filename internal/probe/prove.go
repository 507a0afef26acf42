package probe

import (
	"context"
	"errors"
	"fmt"
	"time"

	"sallyport/dialback"
	"sallyport/internal/jid"
	"sallyport/internal/resolve"
	"sallyport/internal/stanza"
	"sallyport/internal/stream"
	"sallyport/policy"
)

// prove tries to prove us at the first address that the gate would use, as the gate would: by EXTERNAL where that is offered, by dialback
// otherwise. After a success by EXTERNAL a second stream shows whether dialback would do as well.
func (x *examination) prove(ctx context.Context) {
	proof := &x.report.Proof
	proof.External.Result, proof.Dialback.Result = NotTried, NotTried
	for _, v := range x.visits {
		if v.err == nil && x.terms.Effect == policy.Allow {
			x.chosen = v
			break
		}
	}
	v := x.chosen
	if v == nil {
		reason := "no stream stands on which policy would let us"
		proof.External.Reason, proof.Dialback.Reason = reason, reason
		return
	}
	proof.Address = v.s.RemoteAddr().String()
	if v.s.TLS() == nil || !v.s.FeatureExternal() {
		proof.External = Trial{Result: NotOffered}
		proof.Dialback = x.dialback(ctx, v.s)
		return
	}
	open := false
	if proof.External, open = x.external(ctx, v.s); open {
		proof.Dialback = x.dialback(ctx, v.s) // the id is still the one before SASL ([S07])
	}
	if !open || proof.Dialback.hungUp {
		proof.Dialback = x.again(ctx, v.ep) // [S08]
	}
}

// external tries EXTERNAL. open says that it failed and the stream is still to be used, which only SASL's own failures leave it.
func (x *examination) external(ctx context.Context, s *stream.Stream) (t Trial, open bool) {
	begin := time.Now()
	ctx, cancel := context.WithTimeout(ctx, visitTime)
	defer cancel()
	err := s.ClientExternal(ctx, x.From)
	if err == nil {
		return Trial{Result: Accepted, Took: since(begin)}, false
	}
	var refused *stream.SASLError
	return Trial{Result: Failed, Reason: told(err), Took: since(begin)}, errors.As(err, &refused)
}

// again tries dialback on a new stream to the same address.
func (x *examination) again(ctx context.Context, ep resolve.Endpoint) Trial {
	v := x.visit(ctx, ep)
	defer v.leave()
	if v.err != nil {
		return Trial{Result: Failed, Reason: "a second stream did not come about: " + told(v.err)}
	}
	return x.dialback(ctx, v.s)
}

// dialback shows the peer a key of ours and waits for its word. Nothing of it goes out where policy refuses the link: visit ended there.
func (x *examination) dialback(ctx context.Context, s *stream.Stream) Trial {
	key := x.Secret.Key(dialback.Challenge{Receiving: x.remote.String(), Originating: x.From.String(), StreamID: s.ID()})
	switch {
	case !s.PeerHeader().Dialback && !s.FeatureDialback():
		return Trial{Result: NotOffered}
	case s.ID() == "":
		return Trial{Result: Failed, Reason: "its stream header has no id, so no key can be made"}
	case key == "":
		return Trial{Result: NotTried, Reason: x.Keyless}
	}
	begin := time.Now()
	ctx, cancel := context.WithTimeout(ctx, resultTime)
	defer cancel()
	defer context.AfterFunc(ctx, s.Abort)()
	claim := dialback.Message{From: x.From.String(), To: x.remote.String(), Key: key}
	answer, err := put(s, claim)
	t := Trial{Result: Failed, Took: since(begin)}
	switch {
	case err != nil && ctx.Err() != nil:
		t.Reason = fmt.Sprintf("no answer within %s: it asks back and hears nothing, or is slow", time.Since(begin).Round(time.Second))
	case err != nil:
		t.hungUp = true
		t.Reason = "waiting for its answer: " + told(err)
	case answer.Verdict() == dialback.Valid:
		t.Result = Accepted
	case answer.Verdict() == dialback.Invalid:
		t.Reason = "it asked back and was told that the key is not ours"
	default:
		t.Reason = "it could not verify us: " + clean(answer.Condition+" "+answer.Text)
	}
	return t
}

// put asks a question of dialback and reads until its answer. What else comes is passed by; a stanza is the end.
func put(s *stream.Stream, question dialback.Message) (dialback.Message, error) {
	if _, err := s.Write(question.AppendTo(nil)); err != nil {
		return dialback.Message{}, err
	}
	for {
		el, err := s.Next()
		if err != nil {
			return dialback.Message{}, err
		}
		if m, ok := answerOf(el); ok && m.Answers(question) {
			return m, nil
		}
	}
}

// answerOf reads an answer of dialback, its domains in the form in which we asked ([A06]).
func answerOf(el *stanza.Element) (dialback.Message, bool) {
	verify := el.Is(dialback.Namespace, "verify")
	if !verify && !el.Is(dialback.Namespace, "result") {
		return dialback.Message{}, false
	}
	n := el.Tree()
	from, errFrom := jid.ParseDomain(n.Attr("from"))
	to, errTo := jid.ParseDomain(n.Attr("to"))
	m := dialback.Message{Verify: verify, From: from.String(), To: to.String(), ID: n.Attr("id"), Type: n.Attr("type")}
	for _, child := range n.Children {
		for _, c := range child.Children {
			if c.Local == "text" {
				m.Text = c.Text
			} else if child.Local == "error" {
				m.Condition = c.Local
			}
		}
	}
	return m, errors.Join(errFrom, errTo, m.Check()) == nil
}

// decide asks policy about a link with these facts, also when the time for asking others is over.
func (x *examination) decide(ctx context.Context, direction string, facts policy.LinkFacts) policy.LinkDecision {
	facts.Known = policy.Known(x.known(direction, &facts))
	return x.Policy.Link(context.WithoutCancel(ctx), &policy.Input{Direction: direction, Local: x.From.String(), Remote: x.remote.String(), Link: facts})
}
