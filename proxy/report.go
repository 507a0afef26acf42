package proxy

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"syscall"
	"time"

	"sallyport/audit"
	"sallyport/internal/stream"
)

// failed tells of a pair that did not come up on this link: one line, one count, one event. A failure's own address is that of the
// authoritative server; the caller's is the link's.
func (in *inbound) failed(from, to string, f *Failure, e audit.Event) {
	in.failures.Add(1)
	in.p.instruments.failed(in.door, f.Step)
	if !in.loud() {
		return
	}
	e.From, e.To, e.Step, e.Error, e.Advice, e.Cert = from, to, string(f.Step), f.Err.Error(), f.Advice, f.Cert
	decided(&e, f.Err)
	if e.Kind != 0 {
		in.note(e)
	}
	attrs := append([]any{"from", from, "to", to}, f.attributes()...)
	if f.Peer != "" {
		attrs = append(attrs, "authoritative", f.Peer)
	}
	level := f.level()
	if from == "" {
		level = slog.LevelInfo // nobody in particular: the noise of an open port
	}
	in.log.Log(context.Background(), level, "link failed", attrs...)
}

// report logs and records the end of the link. Peers that come and go are not worth a warning.
func (in *inbound) report(err error) {
	in.mu.Lock()
	facts := in.first
	in.mu.Unlock()
	if e := in.ended.Load(); e != nil {
		err = e
	}
	reason := ending(err)
	if facts != nil {
		in.p.instruments.closed(in.door, "in", *facts)
		in.note(audit.Event{Kind: audit.LinkClose, Channel: facts.Channel, Proof: facts.Proof, Error: reason, Count: in.carried.Load()})
		in.log.Info("link closed", "reason", reason, "stanzas", in.carried.Load(), "open_for", time.Since(in.opened).Round(time.Millisecond).String())
		return
	}
	switch {
	case in.failures.Load() > 0 || in.answered.Load():
		endSpan(in.setUp, err)
		in.log.Debug("stream ended", "reason", reason)
	case harmless(err):
		endSpan(in.setUp, nil)
		if !in.loud() {
			return
		}
		in.log.Info("stream ended before it asked for anything", "reason", reason)
	default:
		f := in.failure(err)
		endSpan(in.setUp, f)
		var from, to string
		if s := in.s.Load(); s != nil {
			from, to = s.PeerHeader().From.String(), s.Local().String()
		}
		e := audit.Event{}
		if from != "" {
			e.Kind = audit.LinkFail
		}
		in.failed(from, to, f, e)
	}
}

// failure says at which step a stream ended that never had a proved pair, and what can be done about it.
func (in *inbound) failure(err error) *Failure {
	f := failure(StepStream, "", err)
	f.Peer = ""
	if s := in.s.Load(); s != nil {
		f.Cert = in.certFacts(s)
	}
	return f
}

// certFacts describes the certificate that the caller shows, as a proof of the domain that it names in its header.
func (in *inbound) certFacts(s *stream.Stream) string {
	state := s.TLS()
	if state == nil || len(state.PeerCertificates) == 0 {
		return ""
	}
	return certFacts(in.p.Certs.Verifier().Verify(state.PeerCertificates, s.PeerHeader().From.ASCII()))
}

// flaw says why the certificate of this connection does not prove the pair's sender, or not with certainty, as the end of a sentence; empty when it does, or
// when there is none.
func (in *inbound) flaw(s *stream.Stream, pair Pair) string {
	state := s.TLS()
	if state == nil || len(state.PeerCertificates) == 0 {
		return ""
	}
	v := in.p.Certs.Verifier().Verify(state.PeerCertificates, pair.Remote.ASCII())
	err := v.Err
	if err == nil {
		err = in.p.unsure(in.factsFor(s, pair), v)
	}
	if err != nil {
		return ": " + err.Error()
	}
	return ""
}

// harmless says whether a stream ended as streams may.
func harmless(err error) bool {
	for _, end := range []error{stream.ErrClosed, stream.ErrProtocol, io.EOF, io.ErrUnexpectedEOF, net.ErrClosed, context.Canceled, syscall.ECONNRESET, stream.SystemShutdown} {
		if errors.Is(err, end) {
			return true
		}
	}
	return err == nil
}

// ending puts the end of a stream into words.
func ending(err error) string {
	var e *stream.Error
	switch {
	case err == nil, errors.Is(err, stream.ErrClosed):
		return "closed by the peer"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET):
		return "connection lost"
	case errors.Is(err, net.ErrClosed), errors.Is(err, context.Canceled):
		return "closed by us"
	case errors.As(err, &e) && e.Received:
		return "peer said " + e.Error()
	}
	return err.Error()
}
