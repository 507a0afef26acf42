package probe

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"sallyport/certs"
	"sallyport/dialback"
	"sallyport/internal/jid"
	"sallyport/internal/resolve"
	"sallyport/internal/stream"
)

// reply is what came of asking an address whether it is us.
type reply struct {
	reached bool // somebody took the connection
	tls     string
}

// String is what there is to say about a good one.
func (r reply) String() string { return r.tls }

// Faults of those who answer in our place.
var (
	errOtherKey  = errors.New("a server answers that does not know a dialback key of ours: it is another server, or does not share dialback.secret_file")
	errOtherCert = errors.New("a server shows another certificate than ours for the domain: it is another server, or this gate is to be told to reload (SIGHUP)")
	errNoTLS     = errors.New("a server answers that offers no TLS")
)

// ask puts the question that a stranger's server would put when it is shown a key in our name: whether that key is ours. Only who has our
// secret knows. A gate answers that in every state, without remembering anything (PROTOCOL 11.3).
func (h *House) ask(ctx context.Context, place ourPlace, d jid.Domain) (got reply, err error) {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	conn, err := h.dial(ctx, place)
	if err != nil {
		return got, err
	}
	got.reached = true
	cfg := h.Certs.ClientConfig(stranger, d.ASCII())
	if place.direct {
		cfg.NextProtos = []string{certs.ALPN}
		conn = stream.DirectClient(conn, cfg)
	}
	s, err := stream.Initiate(ctx, conn, streamConfig(), jid.MustDomain(stranger), d)
	if err != nil {
		conn.Close()
		return got, fmt.Errorf("no stream comes about: %w", err)
	}
	defer s.Close()
	if s.TLS() == nil {
		if offered, _ := s.FeatureStartTLS(); !offered {
			return got, errNoTLS
		}
		if err := s.ClientTLS(ctx, cfg); err != nil {
			return got, fmt.Errorf("TLS does not come about: %w", err)
		}
	}
	got.tls = tls.VersionName(s.TLS().Version)
	return got, h.recognise(ctx, s, d)
}

// recognise compares who answers with ourselves: by the key, and by the certificate.
func (h *House) recognise(ctx context.Context, s *stream.Stream, d jid.Domain) error {
	id := stream.NewID()
	key := h.Secret.Derive("outside").Key(dialback.Challenge{Receiving: stranger, Originating: d.String(), StreamID: id})
	if key != "" {
		defer context.AfterFunc(ctx, s.Abort)()
		answer, err := put(s, dialback.Message{Verify: true, From: stranger, To: d.String(), ID: id, Key: key})
		switch {
		case err != nil:
			return fmt.Errorf("nobody answers whether a dialback key is ours: %w", err)
		case answer.Verdict() == dialback.Failed:
			return fmt.Errorf("a server answers that does not speak for it (%s)", clean(answer.Condition))
		case answer.Verdict() != dialback.Valid:
			return errOtherKey
		}
	}
	own, ok := h.Certs.Certificate(d.ASCII())
	if chain := chainOf(own); ok && len(chain) > 0 {
		if shown := s.TLS().PeerCertificates; len(shown) == 0 || certs.SPKI(shown[0]) != certs.SPKI(chain[0]) || !shown[0].NotAfter.Equal(chain[0].NotAfter) {
			return errOtherCert
		}
	}
	return nil
}

// dial connects to a place in DNS, past the filter only where it is a door of ours.
func (h *House) dial(ctx context.Context, place ourPlace) (net.Conn, error) {
	if place.own {
		return new(net.Dialer).DialContext(ctx, "tcp", place.at.String())
	}
	conn, _, _, err := h.Resolver.Dial(ctx, []resolve.Endpoint{{Target: place.target, Port: place.at.Port(), Addrs: []netip.Addr{place.at.Addr()}}})
	return conn, err
}

// chainOf reads a certificate of ours as a peer gets it.
func chainOf(own *tls.Certificate) (chain []*x509.Certificate) {
	if own == nil {
		return nil
	}
	for _, raw := range own.Certificate {
		cert, err := x509.ParseCertificate(raw)
		if err != nil {
			return nil
		}
		chain = append(chain, cert)
	}
	return chain
}

// doors tries the gate's own doors, for each domain, since the certificate goes by it.
func (h *House) doors(ctx context.Context, p *part) {
	if h.Absent != "" {
		p.say("outside.listen", Note, "the gate's doors were not tried: %s", h.Absent)
		return
	}
	if h.Keyless != "" {
		p.say("dialback.secret_file", Note, "whether it is us who answer was told by the certificate alone: %s", h.Keyless)
	}
	for _, kind := range []struct {
		path   string
		direct bool
		doors  []netip.AddrPort
	}{{"outside.listen", false, h.Outside}, {"outside.direct_tls", true, h.DirectTLS}} {
		for i, door := range kind.doors {
			h.door(ctx, p, fmt.Sprintf("%s[%d]", kind.path, i), ourPlace{at: reachable(door), direct: kind.direct, own: true})
		}
	}
}

func (h *House) door(ctx context.Context, p *part, at string, place ourPlace) {
	for _, b := range h.Backends {
		for _, d := range b.Domains {
			answer, err := h.ask(ctx, place, d)
			if err != nil {
				p.say(at, Wrong, "%s does not answer for %s as it should: %v", place.at, d, err)
				continue
			}
			p.say(at, Fine, "%s answers for %s (%s)", place.at, d, answer)
		}
	}
}

// reachable is where to call a listener: one on all addresses is called on this machine's own.
func reachable(door netip.AddrPort) netip.AddrPort {
	switch {
	case !door.Addr().IsUnspecified():
		return door
	case door.Addr().Is4():
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), door.Port())
	}
	return netip.AddrPortFrom(netip.IPv6Loopback(), door.Port())
}
