package proxy

import (
	"context"
	"errors"
	"strings"

	"sallyport/audit"
	"sallyport/internal/jid"
	"sallyport/internal/stanza"
	"sallyport/internal/stream"
)

// address holds a stanza to the rules that no policy can loosen: from a proved domain, to a domain that this door leads to
// ([A01]–[A06], D22, D24). A stranger that breaks them loses its stream, which is the error. A backend does not, for it may have
// put all remote domains on one stream (D8): its stanza ends here, recorded and, where somebody can be told, answered.
func (in *inbound) address(ctx context.Context, el *stanza.Element) (c crossing, ok bool, err error) {
	from, errFrom := in.addrs.Parse(el.From())
	to, errTo := in.addrs.Parse(el.To())
	if errFrom == nil && errTo == nil {
		c = crossing{el: el, dir: in.direction(), from: from, to: to, pair: pairOf(in.direction(), from.JID.Domain, to.JID.Domain)}
		if pr := in.proved(ctx, c.pair); pr != nil && (in.door == Inside || in.p.now().hosts(to.JID.Domain)) {
			c.proof = pr
			return c, true, nil
		}
	}
	if in.door == Inside {
		in.astray(el)
		return crossing{}, false, nil
	}
	switch {
	case errFrom != nil:
		err = &stream.Error{Condition: stream.ImproperAddressing, Err: wrapped("from", errFrom)}
	case errTo != nil:
		err = &stream.Error{Condition: stream.ImproperAddressing, Err: wrapped("to", errTo)}
	case in.proved(ctx, c.pair) == nil:
		in.spoofed(el)
		err = &stream.Error{Condition: stream.InvalidFrom, Err: errors.New("stanza from " + from.JID.Domain.String() + ", which this stream has not proved")}
	default:
		err = &stream.Error{Condition: stream.HostUnknown, Err: errors.New("stanza to " + to.JID.Domain.String() + ", which is not ours")}
	}
	return crossing{}, false, err
}

// proved gives the proof under which this stream may carry the pair, nil for none. Inside the exact pair counts, and a proof still
// under way is waited for; outside the sender domain counts, as all real receivers have it ([A04]), but on a stream of ours ([M02]).
func (in *inbound) proved(ctx context.Context, pair Pair) *proof {
	in.mu.Lock()
	pr := in.pairs[pair]
	if in.door == Outside && in.over == nil {
		pr = in.senders[pair.Remote]
	}
	in.mu.Unlock()
	if pr == nil {
		return nil
	}
	select {
	case <-pr.done:
		if pr.valid {
			return pr
		}
	case <-ctx.Done():
	}
	return nil
}

// spoofed records a stanza in somebody else's name.
func (in *inbound) spoofed(el *stanza.Element) {
	if !in.loud() {
		return
	}
	in.note(audit.Event{Kind: audit.AuthSpoof, From: string(el.From()), To: string(el.To()), Stanza: partOf(el)})
}

// astray ends a backend's stanza that breaks the address rules. Its sender is told where there is one of this backend, and a remote
// domain in whose name it can be told. That forges nothing: the stream is the backend's, by its address and the call-back for another
// pair, and the answer goes to the backend alone.
//
// PROTOCOL 11.7 has invalid-from for a pair that was never asked for. That would end the other pairs of a shared stream, which D8
// forbids; and where a stream has one pair, the backend loses nothing by hearing it stanza by stanza.
func (in *inbound) astray(el *stanza.Element) {
	settings := in.p.now()
	from, err := jid.Parse(string(el.From()))
	if err != nil {
		in.misaddressed(el, wrapped("from", err), "")
		return
	}
	if owner, ok := settings.backendOf(from.Domain); !ok || owner.Address != in.backend.Address {
		in.spoofed(el)
		in.log.Warn("a backend's stanza is from a domain that is not the backend's; it was dropped", "from", from.Domain.String())
		return
	}
	remote, errTo := jid.ParseDomain(domainPart(string(el.To())))
	if errTo != nil {
		in.misaddressed(el, wrapped("to", errTo), "")
		return
	}
	if settings.claims(remote) {
		// A component that is down (D24): the backend has been told so, and in the name of its own domain nobody answers it.
		in.misaddressed(el, errors.New(remote.String()+" is a domain of our own"), "")
		return
	}
	answer, why := stanza.Error{By: from.Domain.String()}, error(nil)
	name := remote.String()
	switch to, err := jid.Parse(string(el.To())); {
	case err != nil:
		answer.Condition, answer.Text, why = stanza.JIDMalformed, "there is no such address", wrapped("to", err)
	case !remote.Qualified():
		answer.Condition, answer.Text, why = stanza.RemoteServerNotFound, "not a domain name of the internet", errors.New(remote.String()+" is not a domain name of the internet")
	default:
		name = to.String()
		answer.Condition, answer.Text = stanza.InternalServerError, "this server did not prove itself for the recipient's domain"
		why = errors.New("the backend did not prove " + from.Domain.String() + " for " + remote.String() + " on this stream")
	}
	if !in.p.answer(&answered{r: route{Out, Pair{Local: from.Domain, Remote: remote}}, denied: true, reason: answer}, el, from.String(), name) {
		answer.Condition = ""
	}
	in.misaddressed(el, why, answer.Condition)
}

// misaddressed records and logs what astray ended; told is what its sender heard, if anything.
func (in *inbound) misaddressed(el *stanza.Element, why error, told stanza.Condition) {
	in.note(audit.Event{Kind: audit.AuthMisaddressed, From: string(el.From()), To: string(el.To()), Stanza: partOf(el), Condition: string(told), Error: why.Error()})
	in.log.Warn("a backend's stanza was not carried: its addresses are wrong", "error", why, "told", string(told))
}

// domainPart cuts an address to its domain, whether or not the rest of it is well-formed (RFC 7622 §3.1).
func domainPart(address string) string {
	address, _, _ = strings.Cut(address, "/")
	if i := strings.LastIndexByte(address, '@'); i >= 0 {
		address = address[i+1:]
	}
	return address
}
