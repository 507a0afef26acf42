package resolve

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/miekg/dns"
)

// asker asks several servers in turn.
type asker struct {
	servers  []Server
	timeout  time.Duration
	exchange func(ctx context.Context, server Server, q *dns.Msg) (*dns.Msg, error)
}

// rounds is how often each server is asked.
const rounds = 2

// errUnanswered is what ask returns when no server helped.
type errUnanswered struct{ attempts []Attempt }

func (e *errUnanswered) Error() string {
	last := e.attempts[len(e.attempts)-1]
	return fmt.Sprintf("%v %v", last.At, last.Err)
}

// ask puts q to the servers, in order and twice, until one says something definite: records, NODATA or NXDOMAIN. Anything else, as
// SERVFAIL, REFUSED or silence, is the next one's chance. Its only error is *errUnanswered.
func (a *asker) ask(ctx context.Context, q *dns.Msg) (reply *dns.Msg, from Server, err error) {
	var failed []Attempt
	for round := range rounds {
		for i, server := range a.servers {
			if round > 0 && isVerdict(failed[i].Err) {
				continue
			}
			reply, err := a.askOne(ctx, server, q)
			if err == nil {
				return reply, server, nil
			}
			failed = append(failed, Attempt{At: server.Addr, Err: err})
			if ctx.Err() != nil {
				return nil, server, &errUnanswered{failed}
			}
		}
	}
	return nil, Server{}, &errUnanswered{failed}
}

func (a *asker) askOne(ctx context.Context, server Server, q *dns.Msg) (*dns.Msg, error) {
	one, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	reply, err := a.exchange(one, server, q)
	switch {
	case err != nil && errors.Is(ctx.Err(), context.Canceled):
		return nil, errors.New("was not waited for any longer")
	case err != nil:
		return nil, a.plain(err)
	}
	if reply.Rcode != dns.RcodeSuccess && reply.Rcode != dns.RcodeNameError {
		return nil, &verdict{rcode: reply.Rcode, detail: explain(reply), bogus: isBogus(reply)}
	}
	return reply, nil
}

// plain says in an operator's words what went wrong with a server.
func (a *asker) plain(err error) error {
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("gave no answer within %v", a.timeout)
	case errors.Is(err, syscall.ECONNREFUSED):
		return errors.New("runs no name server (connection refused)")
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("closed the connection without an answer")
	}
	return fmt.Errorf("could not be asked: %w", err)
}

// verdict is a server's answer that says nothing about the name. Asking the same server once more would bring the same.
type verdict struct {
	rcode  int
	detail string
	bogus  bool // there is an answer, but DNSSEC says that it is not the domain's
}

func (v *verdict) Error() string {
	return "answered " + dns.RcodeToString[v.rcode] + v.detail
}

func isVerdict(err error) bool {
	_, ok := err.(*verdict)
	return ok
}

// isBogus reports whether a server says that what it found did not pass DNSSEC validation (RFC 8914 §4).
func isBogus(reply *dns.Msg) bool {
	opt := reply.IsEdns0()
	return reply.Rcode == dns.RcodeServerFailure && opt != nil && slices.ContainsFunc(opt.Option, func(o dns.EDNS0) bool {
		ede, ok := o.(*dns.EDNS0_EDE)
		return ok && dns.ExtendedErrorCodeDNSSECIndeterminate <= ede.InfoCode && ede.InfoCode <= dns.ExtendedErrorCodeNSECMissing
	})
}

// saysBogus reports whether any server gave that as the reason of err.
func saysBogus(err error) bool {
	u, ok := errors.AsType[*errUnanswered](err)
	return ok && slices.ContainsFunc(u.attempts, func(a Attempt) bool {
		v, ok := a.Err.(*verdict)
		return ok && v.bogus
	})
}

// explain renders the reasons that a server added to its failure (RFC 8914). The text is a stranger's: quoted, and cut.
func explain(reply *dns.Msg) string {
	opt := reply.IsEdns0()
	if opt == nil {
		return ""
	}
	var said []string
	for _, o := range opt.Option {
		ede, ok := o.(*dns.EDNS0_EDE)
		if !ok || len(said) == 3 {
			continue
		}
		text := dns.ExtendedErrorCodeToString[ede.InfoCode]
		if text == "" {
			text = fmt.Sprintf("extended error %d", ede.InfoCode)
		}
		if ede.ExtraText != "" {
			text += fmt.Sprintf(" %q", ede.ExtraText[:min(len(ede.ExtraText), 120)])
		}
		said = append(said, text)
	}
	if said == nil {
		return ""
	}
	return " (" + strings.Join(said, ", ") + ")"
}
