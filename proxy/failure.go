package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"syscall"
	"time"

	"sallyport/certs"
	"sallyport/internal/resolve"
	"sallyport/internal/stanza"
	"sallyport/internal/stream"
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
	var said *stream.Error
	if errors.As(err, &said) && said.Received {
		f.Advice = "the peer ended the stream; its own log says why"
	}
	switch step {
	case StepDNS:
		f.Advice = dnsAdvice(err)
	case StepTCP:
		f.Advice = "is the peer's server up, and port 5269 open to us?"
	}
	return f
}

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
	attrs := []any{"step", string(f.Step), "error", f.Err.Error()}
	for _, kv := range [][2]string{{"peer", f.Peer}, {"cert", f.Cert}, {"advice", f.Advice}} {
		if kv[1] != "" {
			attrs = append(attrs, kv[0], kv[1])
		}
	}
	if next > 0 {
		attrs = append(attrs, "next_try", next.String())
	}
	log.Log(context.Background(), f.level(), "link failed", attrs...)
}

// level is by whose fault it is: a peer's is information, the network's is not even that, ours is an error.
func (f *Failure) level() slog.Level {
	var netErr net.Error
	switch {
	case f.Step == StepCarry:
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
