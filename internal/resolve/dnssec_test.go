package resolve

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"sallyport/internal/jid"
	"sallyport/internal/xmpptest/lab"
)

// federated returns the records of an XMPP domain with both kinds of service, and TLSA records for both.
func federated(domain string) []string {
	return []string{
		fmt.Sprintf("_xmpps-server._tcp.%s. IN SRV 5 0 5270 xmpp.%[1]s.", domain),
		fmt.Sprintf("_xmpp-server._tcp.%s. IN SRV 10 0 5269 xmpp.%[1]s.", domain),
		fmt.Sprintf("xmpp.%s. IN A 10.99.2.77", domain),
		fmt.Sprintf("_5269._tcp.xmpp.%s. IN TLSA 3 1 1 %s", domain, sum256),
		fmt.Sprintf("_5270._tcp.xmpp.%s. IN TLSA 2 0 2 %s", domain, sum512),
	}
}

// TestRealDNSSEC asks unbound, which validates what BIND signs and what somebody broke, over loopback and over TLS.
func TestRealDNSSEC(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	names, gate := l.Host("dns", lab.Outside), l.Host("gate", lab.Outside)
	without := func(dropped ...string) func([]string) []string { // each an owner and a type
		return func(records []string) []string {
			return slices.DeleteFunc(records, func(r string) bool {
				return slices.ContainsFunc(dropped, func(d string) bool { return strings.HasPrefix(r, strings.Replace(d, " ", ". 5 IN ", 1)) })
			})
		}
	}
	l.BindSigned(names, map[string]lab.Signing{
		"signed.example":   {},
		"expired.example":  {Expired: true},
		"stripped.example": {Tamper: without("_5269._tcp.xmpp.stripped.example RRSIG TLSA")},
		"denied.example":   {Tamper: without("_5269._tcp.xmpp.denied.example TLSA", "_5269._tcp.xmpp.denied.example RRSIG TLSA")}, // hidden, but NSEC says that it is there
		"forged.example": {Tamper: func(records []string) []string {
			for i, r := range records {
				records[i] = strings.Replace(r, "10.99.2.77", "10.99.2.66", 1)
			}
			return records
		}},
	},
		map[string][]string{"signed.example": append(federated("signed.example"),
			"plain.signed.example. IN NS ns.lab.",
			"_xmpp-server._tcp.bare.signed.example. IN SRV 0 0 5269 bare.signed.example.", "bare.signed.example. IN A 10.99.2.78",
			"_xmpp-server._tcp.out.signed.example. IN SRV 0 0 5269 xmpp.plain.signed.example.",
			"_xmpp-server._tcp.alias.signed.example. IN SRV 0 0 5269 alias.signed.example.", "alias.signed.example. IN CNAME xmpp.signed.example.",
			"_xmpp-server._tcp.closed.signed.example. IN SRV 0 0 0 .", "closed.signed.example. IN A 10.99.2.79",
			"own.signed.example. IN A 10.99.2.80",
			`signed.example. IN CAA 0 issue "ca.example"`)},
		map[string][]string{"plain.signed.example": federated("plain.signed.example")},
		map[string][]string{"unsigned.example": federated("unsigned.example")},
		map[string][]string{"expired.example": federated("expired.example")},
		map[string][]string{"stripped.example": federated("stripped.example")},
		map[string][]string{"denied.example": federated("denied.example")},
		map[string][]string{"forged.example": federated("forged.example")},
	)
	unbound := l.Unbound(gate)
	l.Ready()
	for way, server := range map[string]Server{"on this machine": {Addr: unbound.Local}, "over TLS": {Addr: unbound.TLS, TLS: unbound.Name}} {
		r, err := New(Config{Servers: []Server{server}, ServerRoots: l.CA().Root, DNSSEC: true, DirectTLS: true, AllowPrivate: true, Timeout: 5 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		r.wires.dial = gate.Dial
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			judge(t, r)
		})
	}
}

func judge(t *testing.T, r *Resolver) {
	both := func(domain, first, second string) []string {
		return []string{"xmpp." + domain + ":5270" + first, "xmpp." + domain + ":5269" + second}
	}
	for domain, want := range map[string][]string{
		"signed.example":        both("signed.example", " name addrs dane 202", " name addrs dane 311"),
		"bare.signed.example":   {"bare.signed.example:5269 name addrs"}, // NSEC says that there are no TLSA records
		"out.signed.example":    {"xmpp.plain.signed.example:5269 name"},
		"alias.signed.example":  {"alias.signed.example:5269 name addrs dane 311"},
		"own.signed.example":    {"own.signed.example:5269 name addrs"}, // NSEC says that there are no SRV records
		"plain.signed.example":  both("plain.signed.example", "", ""),
		"unsigned.example":      both("unsigned.example", "", ""),
		"stripped.example":      {"xmpp.stripped.example:5270 name addrs dane 202"},
		"denied.example":        {"xmpp.denied.example:5270 name addrs dane 202"},
		"expired.example":       nil,
		"forged.example":        nil,
		"closed.signed.example": nil,
		"gone.signed.example":   nil,
	} {
		s := r.Survey(t.Context(), jid.MustDomain(domain))
		if got := trust(s.Endpoints); !slices.Equal(got, want) {
			t.Errorf("[I23] %s: %q, want %q; %+v", domain, got, want, s)
		}
	}
	for domain, said := range map[string]string{"expired.example": "_xmpp-server._tcp.expired.example SRV", "forged.example": "xmpp.forged.example A"} {
		_, err := r.Endpoints(t.Context(), jid.MustDomain(domain))
		if temporary, ok := errors.AsType[*TemporaryError](err); !ok || !temporary.Bogus || !strings.Contains(err.Error(), said) {
			t.Errorf("[I23] %s is bogus: %v", domain, err)
		}
	}
	for _, domain := range []string{"closed.signed.example", "gone.signed.example"} {
		s := r.Survey(t.Context(), jid.MustDomain(domain))
		if _, ok := errors.AsType[*NotFoundError](s.Err); !ok || !s.Services[0].Secure || !s.Services[1].Secure {
			t.Errorf("[D02] %s: %+v", domain, s)
		}
	}
	for domain, owner := range map[string]string{"signed.example": "signed.example", "a.b.signed.example": "signed.example", "unsigned.example": ""} {
		caa, err := r.CAA(t.Context(), jid.MustDomain(domain))
		if err != nil || caa.Owner != owner || caa.Secure != (owner != "") {
			t.Errorf("CAA of %s: %+v, %v", domain, caa, err)
		}
	}
	// The same answers to somebody who has not been told to believe them.
	r.config.DNSSEC = false
	eps, err := r.Endpoints(t.Context(), jid.MustDomain("bare.signed.example"))
	if got := trust(eps); err != nil || !slices.Equal(got, []string{"bare.signed.example:5269"}) || eps[0].Addrs[0] != netip.MustParseAddr("10.99.2.78") {
		t.Errorf("[I24] %q, %v", got, err)
	}
}
