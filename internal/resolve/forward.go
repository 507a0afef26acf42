package resolve

import (
	"context"
	"errors"
	"fmt"

	"github.com/miekg/dns"
)

// forward passes a question on to the forward servers and their answer back. Clients that ask the same at the same time share one
// answer, and no more than insideForwards questions are under way: beyond that, and when nobody answers, it is SERVFAIL with the reason
// (RFC 8914), so that dig shows what is wrong.
func (in *Inside) forward(ctx context.Context, q *dns.Msg) *dns.Msg {
	if in.asker == nil {
		return explained(q, dns.RcodeRefused, dns.ExtendedErrorCodeNotAuthoritative, "only XMPP services are answered here, no forward server is set")
	}
	asked := q.Question[0]
	opt := q.IsEdns0()
	withDNSSEC := opt != nil && opt.Do()
	key := fmt.Sprintf("%s %d %t %t %t", dns.CanonicalName(asked.Name), asked.Qtype, q.RecursionDesired, q.CheckingDisabled, withDNSSEC)
	shared, err, _ := in.flights.Do(key, func() (any, error) {
		select {
		case in.slots <- struct{}{}:
			defer func() { <-in.slots }()
		default:
			return nil, errors.New("too many questions at once")
		}
		onward := new(dns.Msg)
		onward.RecursionDesired, onward.CheckingDisabled, onward.AuthenticatedData = q.RecursionDesired, q.CheckingDisabled, in.believed
		onward.Question = []dns.Question{asked}
		onward.SetEdns0(udpSize, withDNSSEC)
		reply, _, err := in.asker.ask(ctx, onward)
		return reply, err
	})
	in.report(asked, err)
	if err != nil {
		return explained(q, dns.RcodeServerFailure, dns.ExtendedErrorCodeNetworkError, err.Error())
	}
	reply := relay(q, shared.(*dns.Msg))
	// "Validated" is passed on only where it is believed, and to those who asked (RFC 6840 §5.7, §5.8).
	reply.AuthenticatedData = reply.AuthenticatedData && in.believed && (q.AuthenticatedData || withDNSSEC)
	return reply
}

// report logs when forwarding stops working and when it works again, not each question in between.
func (in *Inside) report(asked dns.Question, err error) {
	if was := in.failing.Swap(err != nil); was == (err != nil) {
		return
	}
	if err != nil {
		in.config.Log.Warn("inside.dns gets no answers from outside.resolver", "question", asked.Name+" "+dns.TypeToString[asked.Qtype], "error", err)
		return
	}
	in.config.Log.Info("inside.dns gets answers from outside.resolver again")
}

// relay makes the reply to q out of what a forward server sent. answer may be shared with other clients, so that it is copied. The
// spelling of the name is the client's again, and EDNS, a matter between neighbours, stays behind.
func relay(q, answer *dns.Msg) *dns.Msg {
	reply := answer.Copy()
	ours := reply.Question[0].Name
	reply.Id, reply.Question = q.Id, q.Question
	for _, rr := range reply.Answer {
		if rr.Header().Name == ours {
			rr.Header().Name = q.Question[0].Name
		}
	}
	kept := reply.Extra[:0]
	for _, rr := range reply.Extra {
		if rr.Header().Rrtype != dns.TypeOPT {
			kept = append(kept, rr)
		}
	}
	reply.Extra = kept
	return reply
}

// explained is a refusal that says why, to clients that understand EDNS.
func explained(q *dns.Msg, rcode int, code uint16, text string) *dns.Msg {
	reply := new(dns.Msg).SetRcode(q, rcode)
	if q.IsEdns0() == nil {
		return reply
	}
	reply.SetEdns0(udpSize, false)
	opt := reply.IsEdns0()
	opt.Option = append(opt.Option, &dns.EDNS0_EDE{InfoCode: code, ExtraText: text})
	return reply
}
