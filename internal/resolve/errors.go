package resolve

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"sallyport/internal/jid"
)

// NotFoundError says that a domain offers no server-to-server XMPP, as far as its DNS goes: asking again will not help until
// somebody changes it. Senders get remote-server-not-found (RFC 6120 §10.4.3).
type NotFoundError struct {
	Domain string
	Reason string // what was asked and what came, for the operator
}

func (e *NotFoundError) Error() string {
	return fmt.Sprintf("%s offers no XMPP federation: %s", e.Domain, e.Reason)
}

// TemporaryError says that no name server gave a usable answer, which says nothing about the domain. Asking again may help.
type TemporaryError struct {
	Domain   string
	Question string    // name and type
	Attempts []Attempt // each server that was asked, and what came
	Bogus    bool      // there is an answer, but DNSSEC says that it is not the domain's
}

func (e *TemporaryError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "no usable answer for %s: ", e.Question)
	var said []string
	for _, a := range e.Attempts {
		if text := fmt.Sprintf("%v %v", a.At, a.Err); !slices.Contains(said, text) { // each server is asked more than once
			said = append(said, text)
		}
	}
	b.WriteString(strings.Join(said, "; "))
	if e.Bogus {
		b.WriteString(" (the zone's signatures are broken, or somebody forges answers; its administrators find out which with delv or dnsviz)")
		return b.String()
	}
	b.WriteString(" (the servers are those of outside.resolver; if they answer for other domains, the name servers of this one are at fault)")
	return b.String()
}

// Unwrap gives the errors of the single attempts.
func (e *TemporaryError) Unwrap() []error { return reasons(e.Attempts) }

// FilteredError says that a domain leads only to addresses that must not be called: not on the public internet, or this
// gate itself.
type FilteredError struct {
	Domain  string
	Refused []Refusal
}

// Refusal is one address that must not be called.
type Refusal struct {
	Target string         `json:"target"` // the host name that led there
	At     netip.AddrPort `json:"at"`
	Reason string         `json:"reason"`
	Own    bool           `json:"own,omitempty"` // it is this gate's own listener, or its backend; no DNS leads there
}

func (e *FilteredError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "the DNS of %s leads to ", e.Domain)
	own := false
	for i, r := range e.Refused {
		own = own || r.Own
		switch {
		case i > 2:
			continue
		case i > 0:
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%v (%s, by %s)", r.At, r.Reason, r.Target)
	}
	if more := len(e.Refused) - 3; more > 0 {
		fmt.Fprintf(&b, " and %d more", more)
	}
	if own {
		b.WriteString(": a domain of ours must be listed under backends, any other has the wrong DNS")
	} else {
		fmt.Fprintf(&b, ": if that is meant, set peers.%q.route, or outside.allow_private for a closed network", e.Domain)
	}
	return b.String()
}

// Attempt is one server asked, or one address called, in vain.
type Attempt struct {
	Target string // host name, for addresses
	At     netip.AddrPort
	Err    error
}

// DialError lists every address that was called in vain. It unwraps to the errors of the attempts.
type DialError struct{ Attempts []Attempt }

func (e *DialError) Error() string {
	if len(e.Attempts) == 0 {
		return "no address to call"
	}
	var parts []string
	for _, a := range e.Attempts {
		switch {
		case !a.At.IsValid():
			parts = append(parts, a.Err.Error())
		case a.Target == a.At.Addr().String():
			parts = append(parts, fmt.Sprintf("%v: %v", a.At, a.Err))
		default:
			parts = append(parts, fmt.Sprintf("%v (%s): %v", a.At, a.Target, a.Err))
		}
	}
	return "no connection: " + strings.Join(parts, "; ")
}

// Unwrap gives the errors of the single attempts.
func (e *DialError) Unwrap() []error { return reasons(e.Attempts) }

func reasons(attempts []Attempt) []error {
	errs := make([]error, len(attempts))
	for i, a := range attempts {
		errs[i] = a.Err
	}
	return errs
}

func notFound(d jid.Domain, format string, args ...any) *NotFoundError {
	return &NotFoundError{Domain: d.String(), Reason: fmt.Sprintf(format, args...)}
}

// errNotQualified is what becomes of addresses and names without a dot ([A06]).
func errNotQualified(d jid.Domain) error {
	return notFound(d, "only a full domain name can be looked up")
}
