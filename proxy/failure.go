package proxy

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"syscall"
	"time"

	"sallyport/audit"
	"sallyport/certs"
	"sallyport/internal/resolve"
	"sallyport/internal/stanza"
	"sallyport/internal/stream"
	"sallyport/policy"
)

// Step names the stage of a link's set-up, in the order in which they come.
type Step string

// The steps of a link, as they stand in logs, metrics and the record.
const (
	StepPolicy   Step = "policy"
	StepDNS      Step = "dns"
	StepTCP      Step = "tcp"
	StepStream   Step = "stream"
	StepTLS      Step = "tls"
	StepCert     Step = "cert"
	StepSASL     Step = "sasl"
	StepDialback Step = "dialback"
	StepCarry    Step = "carry"
)

// Failure is why a link did not come up or did not stay up. It has two readers: stanza senders get Condition and Public, the
// operator gets the one line that LogValue makes.
type Failure struct {
	Step      Step
	Peer      string           // address that we spoke with, when we got that far
	Cert      string           // facts of the peer's certificate, when it showed one
	Advice    string           // what the operator, or the peer's operator, can do
	Condition stanza.Condition // for the bounces; zero: by step and permanence
	Permanent bool             // trying again will not help until somebody changes something
	Ours      bool             // something is wrong on our side, which wants more than a warning
	Err       error            // the reason, for the operator
}

func (f *Failure) Error() string { return fmt.Sprintf("%s: %v", f.Step, f.Err) }

// Unwrap gives the reason.
func (f *Failure) Unwrap() error { return f.Err }

// failure makes err a Failure of a step, unless it is one already.
func failure(step Step, peer string, err error) *Failure {
	var f *Failure
	if errors.As(err, &f) {
		return f
	}
	f = &Failure{Step: step, Peer: peer, Err: err}
	switch step {
	case StepDNS:
		f.Advice = dnsAdvice(err)
	case StepTCP:
		f.Advice = "is the peer's server up, and its port open to us?"
	case StepTLS:
		f.Advice = tlsAdvice(err)
	case StepStream, StepSASL, StepDialback:
		f.Advice = streamAdvice(err)
	}
	return f
}

// What operators are told where policy asks for more than a peer has.
const (
	adviceShutOut  = "if it should be allowed, add the domain under peers, or allow it in the policy"
	adviceNoTLS    = "its operator must turn TLS on; if plaintext must be, give it channel: plaintext with a date until when"
	adviceUnproved = "its operator must mend its certificate; or ask less of this peer (proof)"
)

func dnsAdvice(err error) string {
	var filtered *resolve.FilteredError
	var missing *resolve.NotFoundError
	switch {
	case errors.As(err, &filtered):
		return "the peer's DNS names an address that is not on the internet; if that is meant, give the peer a route or set outside.allow_private"
	case errors.As(err, &missing):
		return "the domain offers no XMPP federation; is its name right?"
	}
	return "does the resolver of outside.resolver answer?"
}

// tlsAdvice reads the alert with which the peer ended the handshake (RFC 8446 §6.2).
func tlsAdvice(err error) string {
	const badCertificate, certificateRequired, unknownCA, protocolVersion, handshakeFailure = 42, 116, 48, 70, 40
	var alert tls.AlertError
	switch {
	case errors.As(err, &alert) && (alert >= badCertificate && alert <= unknownCA || alert == certificateRequired):
		return "the peer does not take our certificate: is it in date, its chain complete, and our domain named in it?"
	case errors.As(err, &alert) && (alert == protocolVersion || alert == handshakeFailure):
		return "the peer's TLS is too old or too narrow for us; its operator must mend this"
	case isTimeout(err):
		return "the peer began with TLS and did not go on; is it overloaded?"
	case hungUp(err):
		return "the peer broke off in the middle of TLS; its own log may say why"
	}
	return "what the peer speaks is not the TLS that we know; its own log may say more"
}

// streamAdvice tells silence, a refusal and nonsense apart.
func streamAdvice(err error) string {
	var said *stream.Error
	switch {
	case errors.As(err, &said) && said.Received && said.Condition == stream.HostUnknown:
		return "the peer does not serve the domain that it was called for; does its DNS lead to the right server?"
	case errors.Is(err, errUnacknowledged):
		return "the peer takes no more stanzas, or has gone; is it overloaded, or the network broken?"
	case errors.As(err, &said) && said.Received:
		return "the peer ended the stream; its own log says why"
	case errors.As(err, &said):
		return "what came is not what a server says here; is it one?"
	case isTimeout(err):
		return "the peer takes the connection and says nothing more; is it overloaded, or no XMPP server?"
	}
	return "the peer broke off; its own log may say why"
}

// stanzaError is what the senders of the queued stanzas are told ([A08]).
func (f *Failure) stanzaError(by string) stanza.Error {
	e := stanza.Error{Condition: f.Condition, By: by, Text: f.public()}
	var missing *resolve.NotFoundError
	switch {
	case e.Condition != "":
	case errors.As(f.Err, &missing):
		e.Condition, e.Type = stanza.RemoteServerNotFound, "cancel"
	default:
		e.Condition = stanza.RemoteServerTimeout
	}
	if e.Type == "" && e.Condition == stanza.RemoteServerTimeout {
		e.Type = "wait"
		if f.Permanent {
			e.Type = "cancel"
		}
	}
	return e
}

// public is the reason without addresses: what a user may read and pass on to an administrator.
func (f *Failure) public() string {
	switch f.Step {
	case StepPolicy:
		return "not allowed by the federation policy of this server"
	case StepDNS:
		return "the domain was not found, or its name servers do not answer"
	case StepTCP:
		return "the remote server cannot be reached"
	case StepTLS:
		return "no encrypted connection with the remote server"
	case StepCert:
		for _, known := range []error{certs.ErrExpired, certs.ErrNotYetValid, certs.ErrName, certs.ErrUntrusted, certs.ErrPurpose, certs.ErrWeak} {
			if errors.Is(f.Err, known) {
				return "TLS: the remote server's " + known.Error()
			}
		}
		return "the remote server does not prove who it is as this server requires"
	case StepSASL, StepDialback:
		return "the remote server did not accept or prove the domain"
	}
	return "the stream with the remote server ended"
}

// line logs the one line that is enough to mend the link: the pair, which log has already, step, address, certificate, what the
// peer said, what to do, and when we try next.
func (f *Failure) line(log *slog.Logger, next time.Duration) {
	attrs := f.attributes()
	if f.Peer != "" {
		attrs = append(attrs, "peer", f.Peer)
	}
	if next > 0 {
		attrs = append(attrs, "next_try", next.String())
	}
	log.Log(context.Background(), f.level(), "link failed", attrs...)
}

func (f *Failure) attributes() []any {
	attrs := []any{"step", string(f.Step), "error", f.Err.Error()}
	for _, kv := range [][2]string{{"cert", f.Cert}, {"advice", f.Advice}} {
		if kv[1] != "" {
			attrs = append(attrs, kv[0], kv[1])
		}
	}
	return attrs
}

// level is by whose fault it is: a peer's is information, the network's is not even that, ours is an error.
func (f *Failure) level() slog.Level {
	var netErr net.Error
	switch {
	case f.Step == StepCarry, f.Ours:
		return slog.LevelError
	case errors.As(f.Err, &netErr) && netErr.Timeout():
		return slog.LevelInfo
	}
	return slog.LevelWarn
}

// hungUp says whether a peer ended the stream, or its connection, in the middle of what we had to say.
func hungUp(err error) bool {
	var e *stream.Error
	switch {
	case errors.As(err, &e):
		return e.Received
	case isTimeout(err):
		return false
	}
	return errors.Is(err, stream.ErrClosed) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// clip bounds what a peer said before it reaches a log or a bounce.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "") + "…"
}

// ruledOut is the reason of a link that policy does not allow.
type ruledOut struct{ d policy.LinkDecision }

func (r *ruledOut) Error() string { return r.d.Reason + " (rule " + r.d.Rule + ")" }

// decided gives an event the decision that its error comes from, if it comes from one.
func decided(e *audit.Event, err error) {
	var r *ruledOut
	if errors.As(err, &r) {
		e.Decision = audit.DecisionPart{Effect: r.d.Effect.String(), Rule: r.d.Rule, Reason: r.d.Reason, Revision: r.d.Revision}
	}
}
