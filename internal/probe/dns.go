package probe

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"sallyport/internal/jid"
	"sallyport/internal/resolve"
)

// What is shown of a list that a stranger made.
const (
	maxRecords = 16
	maxNames   = 20
)

// noteDNS puts what DNS said into the report.
func (x *examination) noteDNS() {
	caa := x.report.DNS.CAA
	x.report.DNS = surveyed(x.survey)
	x.report.DNS.CAA = caa
	if route, ok := x.Routes[x.remote]; ok {
		x.report.DNS.Route = placeName(route)
	}
}

// surveyed makes a harmless picture of a survey.
func surveyed(s *resolve.Survey) DNS {
	d := DNS{Validating: s.Validating, Problem: told(s.Err), Took: milliseconds(s.Took)}
	for _, one := range s.Services {
		d.Services = append(d.Services, Service{Name: clean(one.Name), Records: cleanAll(one.Records, maxRecords), DNSSEC: one.Secure, Silent: one.Silent, Problem: clean(one.Problem)})
	}
	for _, one := range s.Places {
		p := Place{Target: clean(one.Target), Port: one.Port, DirectTLS: one.DirectTLS, Canonical: clean(one.Canonical), DNSSEC: one.Secure,
			TLSAName: clean(one.TLSAName), Unusable: one.Unusable, Problem: clean(one.Problem)}
		for _, addr := range one.Addrs[:min(len(one.Addrs), maxRecords)] {
			p.Addresses = append(p.Addresses, addr.String())
		}
		for _, record := range one.TLSA[:min(len(one.TLSA), maxRecords)] {
			p.TLSA = append(p.TLSA, clean(record.String()))
		}
		d.Places = append(d.Places, p)
	}
	for _, r := range s.Refused[:min(len(s.Refused), maxRecords)] {
		d.Refused = append(d.Refused, Filtered{Target: clean(r.Target), Address: r.At.String(), Reason: r.Reason})
		d.own = d.own || r.Own
	}
	var missing *resolve.NotFoundError
	var unanswered *resolve.TemporaryError
	d.missing, d.temporary = errors.As(s.Err, &missing), errors.As(s.Err, &unanswered)
	d.fallback = len(s.Endpoints) > 0 && !slices.ContainsFunc(s.Endpoints, func(ep resolve.Endpoint) bool { return !ep.Fallback })
	return d
}

// authorities asks which authorities may issue certificates for a domain.
func authorities(ctx context.Context, r *resolve.Resolver, d jid.Domain) CAA {
	found, err := r.CAA(ctx, d)
	c := CAA{Owner: clean(found.Owner), DNSSEC: found.Secure, Problem: told(err)}
	for _, record := range found.Records[:min(len(found.Records), maxRecords)] {
		flags := 0
		if record.Critical {
			flags = 128
		}
		c.Records = append(c.Records, clean(fmt.Sprintf("%d %s %q", flags, record.Tag, record.Value)))
	}
	return c
}

// placeName writes an endpoint as peers.DOMAIN.route has it.
func placeName(ep resolve.Endpoint) string {
	scheme := ""
	if ep.DirectTLS {
		scheme = "tls://"
	}
	return fmt.Sprintf("%s%s:%d", scheme, clean(ep.Target), ep.Port)
}
