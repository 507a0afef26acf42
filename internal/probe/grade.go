package probe

import (
	"fmt"
	"strings"
	"time"

	"sallyport/certs"
	"sallyport/policy"
)

// grade finds the words for all that was found.
func (x *examination) grade() {
	r := x.report
	r.Flaws = x.flaws()
	var reason string
	r.Offers, reason = x.offers()
	r.Grade, r.Reason = r.Offers, reason
	for _, j := range []struct {
		way string
		Judgement
	}{{"to it", r.Policy.Out}, {"from it", r.Policy.In}} {
		if !j.Allowed {
			r.Grade, r.Reason = Refused, fmt.Sprintf("links %s: %s (rule %s)", j.way, j.Reason, j.Rule)
			if cause := x.cause(); cause != "" && x.terms.Effect == policy.Allow {
				r.Reason += ": " + cause
			}
			break
		}
	}
	r.Federates = r.Grade.Federates()
}

// cause is why the certificate proves less than policy asks for; empty when it proves the domain.
func (x *examination) cause() string {
	if v := x.seen(); v != nil && v.out.TLS != nil && !v.result.Proved {
		return told(v.result.Err)
	}
	return ""
}

// offers grades what the domain has, whatever our policy thinks of it.
func (x *examination) offers() (Grade, string) {
	v := x.seen()
	proof := &x.report.Proof
	switch {
	case v == nil:
		return Broken, x.unreachable()
	case v.contradicted():
		return Broken, told(fmt.Errorf("%w: %w", errContradicted, v.result.Err))
	case proof.Dialback.Result == Failed && proof.External.Result != Accepted:
		return Broken, "it does not accept us: " + proof.failure()
	case x.chosen != nil && proof.External.Result != Accepted && proof.Dialback.Result != Accepted:
		return Broken, "we cannot prove ourselves to it: " + proof.failure()
	case v.out.TLS == nil:
		return Weak, "it has no TLS: everything would cross in clear"
	case v.out.TLS.Revocation == certs.Revoked.String():
		return Broken, certs.ErrRevoked.Error()
	case v.ways() == "":
		return Weak, "encrypted, and nothing proves who answers: " + told(v.result.Err)
	case len(x.report.Flaws) > 0:
		return Good, fmt.Sprintf("it proves itself by %s; %s", v.ways(), x.report.Flaws[0])
	case proof.External.Result != Accepted:
		return Good, fmt.Sprintf("it proves itself by %s; whether it accepts us was not tried", v.ways())
	}
	return Strong, fmt.Sprintf("it proves itself by %s over %s, and takes our certificate", v.ways(), v.out.TLS.Version)
}

// ways are those of judging by which the domain proved itself; empty for none. TLSA records that count leave no other.
func (v *visit) ways() string {
	var ways []string
	for _, way := range []struct {
		name string
		Verdict
	}{{"certificate", v.out.TLS.PKIX}, {"DANE", v.out.TLS.DANE}, {"POSH", v.out.TLS.POSH}} {
		if way.Proved {
			ways = append(ways, way.name)
		}
	}
	if len(v.ep.TLSA) > 0 && !v.result.Proved {
		return ""
	}
	return strings.Join(ways, " and ")
}

// endsSoon says whether the proof ends so soon that the certificate should have been renewed: within expiresSoon, and in the last quarter of
// its life, for some live a few days only.
func (v *visit) endsSoon() bool {
	if v.ways() == "" || v.result.NotAfter.IsZero() {
		return false
	}
	leaf, left := v.s.TLS().PeerCertificates[0], time.Until(v.result.NotAfter)
	return left < expiresSoon && left < leaf.NotAfter.Sub(leaf.NotBefore)/4
}

// failure is why we are not accepted: by dialback, which every server should know, before EXTERNAL.
func (p *Proof) failure() string {
	for _, t := range []struct {
		name string
		Trial
	}{{"dialback", p.Dialback}, {"EXTERNAL", p.External}} {
		if t.Reason != "" {
			return t.name + " " + t.Result + ": " + t.Reason
		}
	}
	return "it offers neither EXTERNAL nor dialback"
}

// unreachable is why no stream came about.
func (x *examination) unreachable() string {
	if len(x.visits) == 0 {
		if x.report.DNS.Problem != "" {
			return x.report.DNS.Problem
		}
		return "there is no address to call"
	}
	v := x.visits[0]
	text := fmt.Sprintf("%s: %s", placeName(v.ep), v.out.Problem)
	if more := len(x.visits) - 1; more > 0 {
		text += fmt.Sprintf(" (and %d more addresses in vain)", more)
	}
	return text
}

// flaws are what keeps a domain that works from being strong, gravest first.
func (x *examination) flaws() (all []string) {
	v := x.seen()
	if v == nil || v.out.TLS == nil {
		return nil
	}
	flaw := func(is bool, format string, args ...any) {
		if is {
			all = append(all, fmt.Sprintf(format, args...))
		}
	}
	t, proof, dns := v.out.TLS, &x.report.Proof, &x.report.DNS
	failed := x.failedVisits()
	flaw(len(failed) > 0, "%d of %d addresses do not work", len(failed), len(x.visits))
	flaw(v.endsSoon(), "its certificate ends on %s", v.result.NotAfter.UTC().Format(time.DateOnly))
	flaw(t.Version == "TLS 1.2", "it speaks TLS 1.2 and not 1.3")
	if x.chosen != nil {
		flaw(proof.External.Result == Failed, "it offers EXTERNAL and then fails it: %s", proof.External.Reason)
		flaw(proof.External.Result == NotOffered, "it takes us by dialback alone, which goes by DNS")
		flaw(proof.Dialback.Result == Failed, "dialback with it fails: %s", proof.Dialback.Reason)
	}
	flaw(t.Revocation == certs.Unknown.String() && x.crl(v), "whether its certificate was revoked cannot be found out")
	if dns.Route == "" {
		all = append(all, dns.flaws()...)
	}
	return all
}

// flaws are those of the domain's DNS.
func (d *DNS) flaws() (all []string) {
	if len(d.Refused) > 0 {
		all = append(all, "its DNS names addresses that nobody may call, as "+first(d.Refused))
	}
	if d.fallback {
		all = append(all, "it has no SRV record")
	}
	for _, place := range d.Places {
		if place.Unusable > 0 {
			all = append(all, fmt.Sprintf("%d TLSA records at %s say nothing that is understood", place.Unusable, place.TLSAName))
		}
		if place.Problem != "" {
			all = append(all, fmt.Sprintf("%s is of no use: %s", place.Target, place.Problem))
		}
	}
	for _, service := range d.Services {
		if service.Silent {
			all = append(all, fmt.Sprintf("no answer about %s: %s", service.Name, service.Problem))
		}
	}
	return all
}

func first(refused []Filtered) string {
	if len(refused) == 0 {
		return ""
	}
	return fmt.Sprintf("%s (%s)", refused[0].Address, refused[0].Reason)
}

// failedVisits are the addresses that ended before policy could be asked about them.
func (x *examination) failedVisits() (failed []*visit) {
	for _, v := range x.visits {
		if !v.judged() {
			failed = append(failed, v)
		}
	}
	return failed
}

// crl says whether the certificate says where its authority publishes what it took back.
func (x *examination) crl(v *visit) bool {
	chain := v.s.TLS().PeerCertificates
	return len(chain) > 0 && len(chain[0].CRLDistributionPoints) > 0
}
