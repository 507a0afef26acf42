package proxy

import (
	"context"

	"sallyport/audit"
	"sallyport/internal/stream"
	"sallyport/policy"
)

// proof is one domain pair's way to trust on one inbound stream. Its zero value proves nothing.
type proof struct {
	done chan struct{} // closed when decided
	// Written before done is closed, not changed afterwards.
	valid bool
	facts policy.LinkFacts // of the link as it is for this pair
	by    judged           // the certificate that they speak of
}

// awaitProof says whether any pair of this stream is proved, waiting for those that are being proved inside (outside nobody
// may run ahead of the answer).
func (in *inbound) awaitProof(ctx context.Context) bool {
	in.mu.Lock()
	if len(in.senders) > 0 || in.door == Outside {
		defer in.mu.Unlock()
		return len(in.senders) > 0
	}
	var waiting []*proof
	for _, pr := range in.pairs {
		waiting = append(waiting, pr)
	}
	in.mu.Unlock()
	for _, pr := range waiting {
		select {
		case <-pr.done:
			if pr.valid {
				return true
			}
		case <-ctx.Done():
			return false
		}
	}
	return false
}

func (in *inbound) hasProof() bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	return len(in.senders) > 0
}

// forget drops the verifications that are under way before the stream begins anew, for its id will be another one. It refuses when
// a pair is proved: such a stream does not begin anew.
func (in *inbound) forget() bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	if len(in.senders) > 0 {
		return false
	}
	clear(in.pairs)
	return true
}

// claim returns the pair's proof on this stream; first says that the caller is to decide it.
func (in *inbound) claim(pair Pair) (pr *proof, first bool) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if pr := in.pairs[pair]; pr != nil && (!pr.decided() || pr.valid) {
		return pr, false
	}
	pr = &proof{done: make(chan struct{})}
	in.pairs[pair] = pr
	return pr, true
}

// mostPairs is how many pairs this stream may prove, and the limit's name. A backend may have put all its remote domains on it (D8): no
// more of them than it can have links to.
func (in *inbound) mostPairs() (n int, key string) {
	limits := &in.p.now().Limits
	if in.door == Inside && limits.OutboundLinks > limits.PairsPerStream {
		return limits.OutboundLinks, "links"
	}
	return limits.PairsPerStream, "pairs_per_stream"
}

// claimed counts the other pairs that are proved or being proved on this stream.
func (in *inbound) claimed(pair Pair) int {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.pairs[pair] != nil {
		return len(in.pairs) - 1
	}
	return len(in.pairs)
}

func (pr *proof) decided() bool {
	select {
	case <-pr.done:
		return true
	default:
		return false
	}
}

// prove ends a pair's proof with success, by what facts say and a certificate, if there was one. A proof that was begun before the
// stream restarted decides nothing. The error is why the stream must end: what was asked of policy when the proof began may hold no
// longer.
func (in *inbound) prove(s *stream.Stream, pair Pair, pr *proof, facts policy.LinkFacts, by judged) *stream.Error {
	if in.door == Outside {
		facts.Known = in.p.known(In, pair, &facts)
	}
	in.mu.Lock()
	current := in.pairs[pair] == pr
	if current {
		pr.valid, pr.facts, pr.by = true, facts, by
		in.senders[pair.sender(in.direction())] = pr
		if !in.trusted {
			// The reading goroutine waits within the limits of a peer that is not proved, which the first stanza may pass. It is
			// woken, and may yet be reading that stanza already.
			s.Lift()
			s.SetReadDeadline(past)
		}
	}
	close(pr.done)
	in.mu.Unlock()
	if !current {
		return nil
	}
	in.announce(pair, facts)
	if e := in.unwanted(pair, pr); e != nil || in.door == Inside {
		return e
	}
	if in.over == nil { // a server that is called proves nothing of how it calls
		in.p.remember(In, pair, &pr.facts, in.log, in.note)
	}
	in.returns(pair)
	return nil
}

// disprove ends a pair's proof without success.
func (in *inbound) disprove(pair Pair, pr *proof) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.pairs[pair] == pr {
		delete(in.pairs, pair)
	}
	close(pr.done)
}

// announce records and logs that a pair stands on this link.
func (in *inbound) announce(pair Pair, facts policy.LinkFacts) {
	in.mu.Lock()
	first := in.first == nil
	if first {
		in.first = &facts
	}
	in.mu.Unlock()
	if first {
		in.p.instruments.opened(in.door, "in", facts)
		in.setUp.SetAttributes(routeAttributes(route{in.direction(), pair})...)
		in.setUp.End()
	}
	in.note(linkEvent(audit.LinkOpen, in.direction(), pair, facts))
	in.log.Info("link open", "from", pair.sender(in.direction()).String(), "to", pair.receiver(in.direction()).String(),
		"channel", facts.Channel, "proof", facts.Proof, "tls", facts.TLSVersion, "cipher", facts.Cipher)
}
