package probe

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"time"

	"sallyport/certs"
	"sallyport/internal/resolve"
	"sallyport/internal/stream"
	"sallyport/policy"
)

// The steps of a visit, named as the gate's log has them.
const (
	stepTCP    = "tcp"
	stepStream = "stream"
	stepTLS    = "tls"
	stepCert   = "cert"
)

// visit is one address that is called.
type visit struct {
	ep       resolve.Endpoint
	out      Endpoint // what is told of it
	s        *stream.Stream
	facts    policy.LinkFacts
	result   certs.Result // of the way of judging that the gate goes by
	decision policy.LinkDecision
	asked    bool      // the peer asks for our certificate
	shaken   time.Time // when the handshake was as good as done
	err      error     // why it ended
}

// visit calls one address and goes as far as the features over TLS. The stream is left standing if the gate's policy would use it.
func (x *examination) visit(ctx context.Context, ep resolve.Endpoint) *visit {
	v := &visit{ep: ep, out: Endpoint{Target: clean(ep.Target), Port: ep.Port, DirectTLS: ep.DirectTLS, Priority: ep.Priority, Weight: ep.Weight}}
	if len(ep.Addrs) == 1 {
		v.out.Address = fmt.Sprint(ep.Addrs[0])
	}
	ctx, cancel := context.WithTimeout(ctx, visitTime)
	defer cancel()
	conn, err := x.dial(ctx, v)
	if err != nil {
		return v
	}
	begin := time.Now()
	if v.s, err = stream.Initiate(ctx, conn, streamConfig(), x.From, x.remote); err != nil {
		conn.Close()
		return v.end(stepStream, err)
	}
	if v.s.TLS() != nil {
		v.out.Took.Secure, v.out.Secure = since(begin), offered(v.s)
	} else if v.out.Took.Clear = since(begin); !x.secure(ctx, v) {
		return v
	}
	x.identify(ctx, v)
	return v
}

// dial connects and, where TLS comes first, shakes hands.
func (x *examination) dial(ctx context.Context, v *visit) (net.Conn, error) {
	begin := time.Now()
	conn, used, _, err := x.Resolver.Dial(ctx, []resolve.Endpoint{v.ep})
	v.out.Took.TCP = since(begin)
	if err != nil {
		v.end(stepTCP, err)
		return nil, err
	}
	if len(used.Addrs) == 1 {
		v.out.Address = used.Addrs[0].String()
	}
	v.facts.RemoteIP = v.out.Address
	if !v.ep.DirectTLS {
		return conn, nil
	}
	begin = time.Now()
	over := stream.DirectClient(conn, x.clientTLS(v))
	err = over.HandshakeContext(ctx)
	v.out.Took.TLS = since(begin)
	if err != nil {
		conn.Close()
		v.end(stepTLS, fmt.Errorf("TLS handshake: %w", err))
		return nil, err
	}
	return over, nil
}

// secure puts TLS under a stream that began in clear, as the gate does, whether or not it is offered ([T10]). False: the visit is over.
func (x *examination) secure(ctx context.Context, v *visit) bool {
	v.out.Clear = offered(v.s)
	if v.out.Clear.StartTLS == "no" && x.terms.Require.Channel == "plaintext" && !x.encrypted {
		return true
	}
	begin := time.Now()
	err := v.s.ClientTLS(ctx, x.clientTLS(v))
	done := time.Now()
	if !v.shaken.IsZero() {
		v.out.Took.TLS, v.out.Took.Secure = milliseconds(v.shaken.Sub(begin)), milliseconds(done.Sub(v.shaken))
	}
	switch {
	case err == nil:
		v.out.Secure = offered(v.s)
		return true
	case v.out.Clear.StartTLS == "no":
		v.facts.Channel, v.facts.Proof = "plaintext", "none"
		v.end(stepTLS, fmt.Errorf("it offers no TLS, and does not take it when asked: %w", err))
	case !v.shaken.IsZero() && !errors.Is(err, stream.ErrNoTLS):
		v.end(stepStream, err)
	default:
		v.end(stepTLS, err)
	}
	return false
}

// clientTLS is how the gate shakes hands with this endpoint; it notes what it sees of it.
func (x *examination) clientTLS(v *visit) *tls.Config {
	cfg := x.Certs.ClientConfig(x.From.ASCII(), x.remote.ASCII())
	if len(v.ep.TLSA) > 0 {
		cfg.ServerName = v.ep.Target // RFC 7673 §4.1
	}
	if v.ep.DirectTLS {
		cfg.NextProtos = []string{certs.ALPN} // XEP-0368 §3
	}
	show := cfg.GetClientCertificate
	cfg.GetClientCertificate = func(r *tls.CertificateRequestInfo) (*tls.Certificate, error) {
		v.asked = true
		if x.terms.Effect != policy.Allow {
			return &tls.Certificate{}, nil // nobody whom policy shuts out is shown who we are
		}
		return show(r)
	}
	cfg.VerifyConnection = func(tls.ConnectionState) error { // verifies nothing: it is the last that is called before the end
		v.shaken = time.Now()
		return nil
	}
	return cfg
}

// end notes where a visit ended, and why.
func (v *visit) end(step string, err error) *visit {
	v.out.Step, v.out.Problem, v.err = step, told(err), err
	if step != stepTCP && (errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded)) {
		v.out.Problem = "it takes the connection and says nothing more in time"
		if v.out.Clear != nil {
			v.out.Problem = "it speaks XMPP, and does not go on with TLS in time"
		}
	}
	return v
}

// leave ends the stream in good order, if it still stands.
func (v *visit) leave() {
	if v.s != nil {
		v.s.Close()
	}
}

// streamConfig holds a stranger to less than a gate would: nothing but features and one answer is awaited.
func streamConfig() stream.Config { return stream.Config{Strict: true, Farewell: time.Second} }

// offered is what a peer's newest header and features say.
func offered(s *stream.Stream) *Offer {
	h := s.PeerHeader()
	o := &Offer{From: clean(h.From.String()), StartTLS: "no", External: s.FeatureExternal(), Dialback: h.Dialback || s.FeatureDialback(), Errors: s.FeatureDialbackErrors()}
	if h.Version.Major > 0 {
		o.Version = fmt.Sprintf("%d.%d", h.Version.Major, h.Version.Minor)
	}
	if has, must := s.FeatureStartTLS(); must {
		o.StartTLS = "required"
	} else if has {
		o.StartTLS = "offered"
	}
	features := s.Features()
	if features == nil {
		return o
	}
	for _, f := range features.Children {
		switch f.Space + " " + f.Local {
		case "urn:ietf:params:xml:ns:xmpp-tls starttls", "urn:xmpp:features:dialback dialback":
		case "urn:ietf:params:xml:ns:xmpp-sasl mechanisms":
			for _, m := range f.Children {
				if len(o.Mechanisms) < maxRecords {
					o.Mechanisms = append(o.Mechanisms, clean(strings.TrimSpace(m.Text)))
				}
			}
		default:
			if len(o.Other) < maxRecords {
				o.Other = append(o.Other, clean("{"+f.Space+"}"+f.Local))
			}
		}
	}
	slices.Sort(o.Other)
	return o
}
