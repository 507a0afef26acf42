package probe

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"slices"
	"time"

	"sallyport/dialback"
	"sallyport/internal/jid"
	"sallyport/internal/resolve"
	"sallyport/internal/stream"
)

// asksTime is for a backend that asks back. Those whose resolver is silent may take longer to say so; by then it is known what is wrong.
const asksTime = 15 * time.Second

// names asks the name server of the backends where a domain lives that cannot exist: at the inside door, or backends go past the gate.
func (h *House) names(ctx context.Context, p *part) {
	const at = "inside.dns"
	switch {
	case !h.Names.IsValid():
		p.say("inside.listen", Note, "there is no inside.dns; the backends must be told in another way that every domain lives at %s", h.Inside)
		return
	case h.Absent != "":
		return
	}
	resolver, err := resolve.New(resolve.Config{Servers: []resolve.Server{{Addr: reachable(h.Names)}}, AllowPrivate: true, Timeout: 2 * time.Second})
	if err != nil {
		p.say(at, Wrong, "%v", err)
		return
	}
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	eps, err := resolver.Endpoints(ctx, jid.MustDomain(stranger))
	test := fmt.Sprintf("to test it there: dig +short SRV _xmpp-server._tcp.%s must print one line with port %d", stranger, h.Inside.Port())
	switch {
	case err != nil:
		p.say(at, Note, "%s does not answer this machine (%v); is it in inside.dns_from? For the backends, %s", h.Names, err, test)
	case len(eps) != 1 || eps[0].Port != h.Inside.Port() || !slices.Contains(eps[0].Addrs, h.Inside.Addr().Unmap()):
		p.say(at, Wrong, "%s leads the backends elsewhere than to inside.listen: another name server answers there", h.Names)
	default:
		p.say(at, Fine, "%s leads every domain to %s; each backend must ask it, %s", h.Names, h.Inside, test)
	}
}

// backend looks whether a server of ours takes streams for each of its domains, and whom it asks when it is shown a key.
func (h *House) backend(ctx context.Context, p *part, at string, b Backend) {
	for j, d := range b.Domains {
		place := fmt.Sprintf("%s.domains[%d]", at, j)
		s, err := h.call(ctx, b, d)
		var said *stream.Error
		var offline *net.OpError
		switch {
		case errors.As(err, &offline) && offline.Op == "dial":
			p.say(at+".address", Wrong, "the backend %s takes no connection: %v", b.Address, err)
			return
		case errors.As(err, &said) && said.Received && (said.Condition == stream.HostUnknown || said.Condition == stream.HostGone):
			p.say(place, Wrong, "the backend %s does not serve %s", b.Address, d)
			continue
		case err != nil:
			p.say(place, Wrong, "the backend %s takes no stream for %s: %v", b.Address, d, err)
			continue
		}
		p.say(place, Fine, "the backend %s takes streams for %s", b.Address, d)
		if j == 0 && h.Absent == "" && h.Names.IsValid() {
			h.asksUs(ctx, p, at, b, s, d)
		}
		s.Close()
	}
}

// call opens a stream to a backend as the gate would for a remote domain.
func (h *House) call(ctx context.Context, b Backend, d jid.Domain) (*stream.Stream, error) {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", b.Address)
	if err != nil {
		return nil, err
	}
	s, err := stream.Initiate(ctx, conn, stream.Config{Farewell: time.Second}, jid.MustDomain(stranger), d)
	if err != nil {
		conn.Close()
		return nil, err
	}
	offered, _ := s.FeatureStartTLS()
	if b.TLS == "off" || b.TLS == "" || b.TLS == "optional" && !offered {
		return s, nil
	}
	// Which certificate a backend shows on its own network decides nothing (D10).
	return s, s.ClientTLS(ctx, &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: true, ServerName: d.ASCII()})
}

// asksUs shows a backend a key that nobody made, in the name of a domain that cannot exist. A backend that is led to this gate asks here,
// and hears that the key is wrong; one that asks another name server finds nobody to ask.
func (h *House) asksUs(ctx context.Context, p *part, at string, b Backend, s *stream.Stream, d jid.Domain) {
	if b.TLS == "certificate" || !s.PeerHeader().Dialback && !s.FeatureDialback() || s.ID() == "" {
		p.say(at, Note, "the backend %s takes no dialback, so whom it asks cannot be told from here", b.Address)
		return
	}
	ctx, cancel := context.WithTimeout(ctx, asksTime)
	defer cancel()
	defer context.AfterFunc(ctx, s.Abort)()
	answer, err := put(s, dialback.Message{From: stranger, To: d.String(), Key: stream.NewID()})
	switch {
	case err == nil && answer.Verdict() == dialback.Invalid:
		p.say(at, Fine, "the backend %s was shown a false key and asked this gate about it: its resolver leads here", b.Address)
	case err == nil && answer.Verdict() == dialback.Valid:
		p.say(at, Wrong, "the backend %s takes a key that nobody made: it does not ask at all", b.Address)
	case err == nil:
		p.say(at, Wrong, "the backend %s was shown a false key and did not ask this gate about it (%s): its resolver must be %s, and backends[].from name the address that it calls from", b.Address, clean(answer.Condition), h.Names)
	default:
		if ctx.Err() != nil {
			err = fmt.Errorf("no answer within %s", asksTime)
		}
		p.say(at, Wrong, "the backend %s was shown a false key and does not say what it makes of it (%v): is its resolver %s, and may it reach %s from an address in backends[].from?", b.Address, err, h.Names, h.Inside)
	}
}
