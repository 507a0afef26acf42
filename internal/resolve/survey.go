package resolve

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/miekg/dns"

	"sallyport/internal/jid"
)

// Survey is what DNS says about where a domain is served, for people: all that was asked, what came, and what of it is of use. Every
// text in it may be a stranger's.
type Survey struct {
	Domain     string          `json:"domain"`
	Validating bool            `json:"validating"`          // the resolver is believed to validate; otherwise nothing is secure
	Services   []ServiceSurvey `json:"services,omitempty"`  // the SRV records, of both kinds
	Places     []PlaceSurvey   `json:"places,omitempty"`    // what they name, best first; or the domain itself
	Refused    []Refusal       `json:"refused,omitempty"`   // addresses that must not be called
	Endpoints  []Endpoint      `json:"endpoints,omitempty"` // what is left, in an order in which it would be tried
	Holds      time.Duration   `json:"holds_ns"`            // for how long the gate remembers that
	Took       time.Duration   `json:"took_ns"`             // the look-up
	Problem    string          `json:"problem,omitempty"`   // why there is no endpoint
	Err        error           `json:"-"`                   // Problem, as Endpoints returns it
}

// ServiceSurvey is what came of one SRV question.
type ServiceSurvey struct {
	Name    string   `json:"name"`
	Records []string `json:"records,omitempty"` // "priority weight port target", as zone files have it
	Secure  bool     `json:"secure"`            // DNSSEC vouches for the answer, also if there are none
	Silent  bool     `json:"silent,omitempty"`  // there was no answer, which says nothing
	Problem string   `json:"problem,omitempty"` // why there are none
}

// PlaceSurvey is one host and port, and what came of the questions about it.
type PlaceSurvey struct {
	Target    string       `json:"target"`
	Port      uint16       `json:"port"`
	DirectTLS bool         `json:"direct_tls"`
	Canonical string       `json:"canonical,omitempty"` // where Target's aliases lead, if it has any
	Addrs     []netip.Addr `json:"addrs,omitempty"`
	Secure    bool         `json:"secure"`              // DNSSEC vouches for the addresses
	TLSAName  string       `json:"tlsa_name,omitempty"` // where TLSA records were looked for; empty: there was no need
	TLSA      []TLSA       `json:"tlsa,omitempty"`      // those of use
	Unusable  int          `json:"unusable_tlsa,omitempty"`
	Problem   string       `json:"problem,omitempty"` // why it is not used
}

// Survey looks d up anew, past the cache, in just the way of Endpoints, and tells all about it.
func (r *Resolver) Survey(ctx context.Context, d jid.Domain) *Survey {
	s := &Survey{Domain: d.String(), Validating: r.config.DNSSEC}
	begin := time.Now()
	f := finding{err: errNotQualified(d)}
	if d.Qualified() {
		f = r.look(ctx, d, s)
	}
	s.Took, s.Holds = time.Since(begin), f.ttl
	if s.Endpoints, s.Err = f.inOrder(); s.Err != nil {
		s.Problem = s.Err.Error()
	}
	return s
}

func (s *Survey) noteServices(answers []said) {
	for _, a := range answers {
		note := ServiceSurvey{Name: strings.TrimSuffix(a.name, ".")}
		switch {
		case a.err != nil:
			note.Silent, note.Problem = true, a.err.Error()
		case !a.answer.exists():
			note.Problem = a.answer.why()
		}
		if a.answer != nil {
			note.Secure = a.answer.secure
			for _, record := range a.answer.services[:min(len(a.answer.services), maxServices)] {
				note.Records = append(note.Records, fmt.Sprintf("%d %d %d %s.", record.priority, record.weight, record.port, record.target))
			}
		}
		s.Services = append(s.Services, note)
	}
}

func (s *Survey) notePlaces(places []place) {
	for _, p := range places {
		note := PlaceSurvey{Target: p.endpoint.Target, Port: p.endpoint.Port, DirectTLS: p.endpoint.DirectTLS, Addrs: p.host.addrs, Secure: p.host.secure,
			TLSAName: strings.TrimSuffix(p.cert.name, "."), TLSA: p.endpoint.TLSA}
		if c := dns.CanonicalName(p.host.canonical); p.host.canonical != "" && c != dns.CanonicalName(p.endpoint.Target) {
			note.Canonical = strings.TrimSuffix(c, ".")
		}
		if p.cert.found() {
			note.Unusable = p.cert.said.unusable
		}
		switch {
		case p.host.err != nil:
			note.Problem = p.host.err.Error()
		case p.cert.err != nil:
			note.Problem = fmt.Sprintf("%v: %v", errNoTLSA, p.cert.err)
		case p.endpoint.Port == 0:
			note.Problem = "port 0 cannot be called"
		}
		s.Places = append(s.Places, note)
	}
}
