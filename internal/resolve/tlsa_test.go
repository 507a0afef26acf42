package resolve

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"sallyport/internal/jid"
	"sallyport/internal/xmpptest"
)

var sum256, sum512 = strings.Repeat("ab", 32), strings.Repeat("cd", 64)

// trust writes down what DNSSEC said of each endpoint: "target:port name addrs dane records".
func trust(eps []Endpoint) []string {
	var out []string
	for _, ep := range eps {
		s := fmt.Sprintf("%s:%d", ep.Target, ep.Port)
		if ep.SecureName {
			s += " name"
		}
		if ep.SecureAddrs {
			s += " addrs"
		}
		if ep.DANE {
			s += " dane"
		}
		for _, t := range ep.TLSA {
			s += fmt.Sprintf(" %d%d%d", t.Usage, t.Selector, t.Matching)
		}
		out = append(out, s)
	}
	return out
}

// RFC 7673 §3: each step of the way to a certificate, and what becomes of the endpoint when the step is not secure, empty or failing.
func TestDANE(t *testing.T) {
	t.Parallel()
	const tlsaX = "_5269._tcp.x.a.example. 60 IN TLSA 3 1 1 "
	for _, c := range []struct {
		id     string
		zone   []string
		vouch  []string // names that DNSSEC vouches for
		broken string
		how    xmpptest.Fault
		want   []string // nil: a TemporaryError
		asked  int
	}{
		{"[I23] all secure, with records", []string{clearX, hostX, tlsaX + sum256}, []string{"a.example"}, "", 0, []string{"x.a.example:5269 name addrs dane 311"}, 4},
		{"[I23] all secure, for direct TLS at its own port", []string{"_xmpps-server._tcp.a.example. 60 IN SRV 0 0 5270 x.a.example.", hostX, "_5270._tcp.x.a.example. 60 IN TLSA 2 0 1 " + sum256},
			[]string{"a.example"}, "", 0, []string{"x.a.example:5270 name addrs dane 201"}, 5},
		{"[I24] all secure, no records: the delegation alone", []string{clearX, hostX}, []string{"a.example"}, "", 0, []string{"x.a.example:5269 name addrs"}, 4},
		{"[I23] SRV not secure: TLSA records are not asked for", []string{clearX, hostX, tlsaX + sum256}, []string{"x.a.example", "_5269._tcp.x.a.example"}, "", 0, []string{"x.a.example:5269 addrs"}, 3},
		{"[I23] address not secure: TLSA records are not asked for", []string{"_xmpp-server._tcp.a.example. 60 IN SRV 0 0 5269 x.b.example.", "x.b.example. 60 IN A 1.1.1.1", "_5269._tcp.x.b.example. 60 IN TLSA 3 1 1 " + sum256},
			[]string{"a.example"}, "", 0, []string{"x.b.example:5269 name"}, 4},
		{"[I23] TLSA not secure: they do not count", []string{clearX, hostX, "_5269._tcp.x.a.example. 60 IN CNAME tlsa.b.example.", "tlsa.b.example. 60 IN TLSA 3 1 1 " + sum256},
			[]string{"a.example"}, "", 0, []string{"x.a.example:5269 name addrs"}, 4},
		{"[I23] TLSA by a secure alias", []string{clearX, hostX, "_5269._tcp.x.a.example. 60 IN CNAME tlsa.a.example.", "tlsa.a.example. 60 IN TLSA 3 1 1 " + sum256},
			[]string{"a.example"}, "", 0, []string{"x.a.example:5269 name addrs dane 311"}, 4},
		{"[I23] TLSA bogus: must not be called", []string{clearX, hostX, tlsaX + sum256}, []string{"a.example"}, "_5269._tcp.x.a.example", xmpptest.Bogus, nil, 0},
		{"[I23] TLSA without answer: must not be called", []string{clearX, hostX, tlsaX + sum256}, []string{"a.example"}, "_5269._tcp.x.a.example", xmpptest.ServerFails, nil, 0},
		{"[I23] TLSA of one target without answer: the other is called", []string{clearX, "_xmpp-server._tcp.a.example. 60 IN SRV 30 0 5269 y.a.example.", hostX, "y.a.example. 60 IN A 1.1.1.2", "_5269._tcp.y.a.example. 60 IN TLSA 3 1 1 " + sum256},
			[]string{"a.example"}, "_5269._tcp.x.a.example", xmpptest.ServerFails, []string{"y.a.example:5269 name addrs dane 311"}, 0},
		{"[I23] SRV bogus: no fallback", []string{clearX, hostX, hostA}, []string{"a.example"}, "_xmpp-server._tcp.a.example", xmpptest.Bogus, nil, 0},
		{"[I23] address bogus", []string{clearX, hostX, hostA}, []string{"a.example"}, "x.a.example", xmpptest.Bogus, nil, 0},
		{"[I23] unusable records: TLS is a must all the same", []string{clearX, hostX, tlsaX + "abcd", "_5269._tcp.x.a.example. 60 IN TLSA 9 1 1 " + sum256},
			[]string{"a.example"}, "", 0, []string{"x.a.example:5269 name addrs dane"}, 4},
		{"[I23] usable ones of several", []string{clearX, hostX, "_5269._tcp.x.a.example. 60 IN TLSA 3 1 3 " + sum256, "_5269._tcp.x.a.example. 60 IN TLSA 1 0 2 " + sum512},
			[]string{"a.example"}, "", 0, []string{"x.a.example:5269 name addrs dane 102"}, 4},
		{"RFC 7671 §7: the records of where the target's alias leads come first", []string{clearX, "x.a.example. 60 IN CNAME real.a.example.", "real.a.example. 60 IN A 1.1.1.1",
			tlsaX + sum256, "_5269._tcp.real.a.example. 60 IN TLSA 2 0 1 " + sum256}, []string{"a.example"}, "", 0, []string{"x.a.example:5269 name addrs dane 201"}, 4},
		{"RFC 7671 §7: those of the target itself come after", []string{clearX, "x.a.example. 60 IN CNAME real.a.example.", "real.a.example. 60 IN A 1.1.1.1", tlsaX + sum256},
			[]string{"a.example"}, "", 0, []string{"x.a.example:5269 name addrs dane 311"}, 5},
		{"RFC 7671 §7: the first of the two without answer", []string{clearX, "x.a.example. 60 IN CNAME real.a.example.", "real.a.example. 60 IN A 1.1.1.1", tlsaX + sum256},
			[]string{"a.example"}, "_5269._tcp.real.a.example", xmpptest.ServerFails, nil, 0},
		{"an alias out of the signed names", []string{clearX, "x.a.example. 60 IN CNAME real.b.example.", "real.b.example. 60 IN A 1.1.1.1", tlsaX + sum256},
			[]string{"a.example"}, "", 0, []string{"x.a.example:5269 name"}, 3},
		{"a domain that has securely no SRV records", []string{hostA, "_5269._tcp.a.example. 60 IN TLSA 3 1 1 " + sum256}, []string{"a.example"}, "", 0, []string{"a.example:5269 name addrs dane 311"}, 5},
		{"a domain that has no SRV records, as anyone can say", []string{hostA, "_5269._tcp.a.example. 60 IN TLSA 3 1 1 " + sum256}, []string{"x.example"}, "", 0, []string{"a.example:5269"}, 4},
		{"a target written as an address", []string{"_xmpp-server._tcp.a.example. 60 IN SRV 0 0 5269 1.2.3.4."}, []string{"a.example"}, "", 0, []string{"1.2.3.4:5269 name"}, 2},
	} {
		t.Run(c.id, func(t *testing.T) {
			t.Parallel()
			server := xmpptest.ListenDNS(t, c.zone...)
			server.Vouch(c.vouch...)
			if c.broken != "" {
				server.Break(c.broken, c.how)
			}
			both := c.zone[0] != clearX // where xmpps matters
			eps, err := newResolver(t, Config{DNSSEC: true, DirectTLS: both}, server).Endpoints(t.Context(), aExample)
			if got := trust(eps); !slices.Equal(got, c.want) {
				t.Errorf("endpoints %q, want %q", got, c.want)
			}
			if temporary, ok := errors.AsType[*TemporaryError](err); ok != (c.want == nil) || ok && temporary.Bogus != (c.how == xmpptest.Bogus) {
				t.Errorf("error %T %v", err, err)
			}
			if asked := server.Asked(); c.asked != 0 && len(asked) != c.asked {
				t.Errorf("%d questions, want %d: %q", len(asked), c.asked, asked)
			}
		})
	}
}

// [I24]: without dnssec in the configuration the AD bit is a stranger's word, and nothing is secure.
func TestADBitIsNotBelievedUnasked(t *testing.T) {
	t.Parallel()
	server := xmpptest.ListenDNS(t, clearX, hostX, "_5269._tcp.x.a.example. 60 IN TLSA 3 1 1 "+sum256)
	server.Vouch("example")
	eps, err := newResolver(t, Config{}, server).Endpoints(t.Context(), aExample)
	if got := trust(eps); err != nil || !slices.Equal(got, []string{"x.a.example:5269"}) {
		t.Errorf("endpoints %q, %v", got, err)
	}
	// The same from a server that sets it although nobody asked.
	p := &paper{records: []string{clearX, hostX, "_5269._tcp.x.a.example. 60 IN TLSA 3 1 1 " + sum256}, signed: true}
	eps, err = p.resolver(t, Config{}).Endpoints(t.Context(), aExample)
	if got := trust(eps); err != nil || !slices.Equal(got, []string{"x.a.example:5269"}) {
		t.Errorf("endpoints %q, %v", got, err)
	}
}

// RFC 6698 §4.1, RFC 7671 §4: parameters without a meaning, and data that does not fit them.
func TestUsableTLSA(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]bool{
		"0 0 0 30": true, "1 1 1 " + sum256: true, "2 0 2 " + sum512: true, "3 1 0 " + strings.Repeat("30", 3000): true,
		"4 1 1 " + sum256: false, "255 1 1 " + sum256: false, "3 2 1 " + sum256: false, "3 255 1 " + sum256: false, "3 1 3 " + sum256: false, "3 1 255 " + sum256: false,
		"3 1 1 " + sum512: false, "3 1 2 " + sum256: false, "3 1 1 " + sum256[2:]: false, "3 1 1 ab": false, "3 1 0 " + strings.Repeat("30", maxTLSAData+1): false,
	} {
		server := xmpptest.ListenDNS(t, clearX, hostX, "_5269._tcp.x.a.example. 60 IN TLSA "+line)
		server.Vouch("a.example")
		eps, err := newResolver(t, Config{DNSSEC: true}, server).Endpoints(t.Context(), aExample)
		if err != nil || len(eps) != 1 || !eps[0].DANE || (len(eps[0].TLSA) == 1) != want {
			t.Errorf("[I23] TLSA %.20s: %+v, %v; usable: want %t", line, eps, err, want)
		} else if want && eps[0].TLSA[0].String() != line {
			t.Errorf("TLSA %.40s became %.40s", line, eps[0].TLSA[0])
		}
	}
}

func TestTLSARecordsAreBounded(t *testing.T) {
	t.Parallel()
	zone := []string{clearX, hostX}
	for i := range 3 * maxTLSA {
		zone = append(zone, fmt.Sprintf("_5269._tcp.x.a.example. 60 IN TLSA 3 1 1 %064x", i))
	}
	server := xmpptest.ListenDNS(t, zone...)
	server.Vouch("a.example")
	eps, err := newResolver(t, Config{DNSSEC: true}, server).Endpoints(t.Context(), aExample)
	if err != nil || len(eps) != 1 || len(eps[0].TLSA) != maxTLSA {
		t.Errorf("%d records, %v; want %d", len(eps[0].TLSA), err, maxTLSA)
	}
}

// [D07]: TLSA records, and that there are none, are remembered no longer than they hold.
func TestTLSAHold(t *testing.T) {
	t.Parallel()
	base := []string{"_xmpp-server._tcp.a.example. 600 IN SRV 0 0 5269 x.a.example.", "x.a.example. 600 IN A 1.1.1.1", "x.a.example. 600 IN AAAA 2a00::1"}
	for name, c := range map[string]struct {
		records []string
		soa     uint32
		holds   time.Duration
	}{
		"records":                {append(slices.Clone(base), "_5269._tcp.x.a.example. 30 IN TLSA 3 1 1 "+sum256), 600, 30 * time.Second},
		"none, as SOA says":      {base, 40, 40 * time.Second},
		"none, and nobody says":  {base, 0, 600 * time.Second},
		"none, for a long while": {base, 3600, 600 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := &paper{records: c.records, soa: c.soa, signed: true}
				r := p.resolver(t, Config{})
				r.config.DNSSEC = true
				look := func() int {
					if _, err := r.Endpoints(t.Context(), aExample); err != nil {
						t.Fatal(err)
					}
					return p.count()
				}
				first := look()
				time.Sleep(c.holds - time.Millisecond)
				if look() != first {
					t.Errorf("[D07] asked again before %v", c.holds)
				}
				time.Sleep(2 * time.Millisecond)
				if look() == first {
					t.Errorf("[D07] not asked again after %v", c.holds)
				}
			})
		})
	}
}

// RFC 8659 §3: the domain's own records, or those of the nearest domain above.
func TestCAA(t *testing.T) {
	t.Parallel()
	zone := []string{
		`own.corp.example. 60 IN CAA 0 issue "ca.example"`, `own.corp.example. 60 IN CAA 128 issueWild ";"`,
		`corp.example. 60 IN CAA 0 issue "letsencrypt.example; accounturi=https://acme.example/1"`,
		`alias.corp.example. 60 IN CNAME elsewhere.example.`, `elsewhere.example. 60 IN CAA 0 iodef "mailto:a@b.example"`,
		`lost.corp.example. 60 IN CNAME nowhere.example.`,
		`odd.corp.example. 60 IN CAA 0 aaaaaaaaaaaaaaaaaaaaaaaaaaaa "x"`,
	}
	for domain, want := range map[string]string{
		"own.corp.example":   `own.corp.example [{false issue ca.example} {true issuewild ;}]`,
		"a.b.corp.example":   `corp.example [{false issue letsencrypt.example; accounturi=https://acme.example/1}]`,
		"alias.corp.example": `alias.corp.example [{false iodef mailto:a@b.example}]`,
		"lost.corp.example":  `corp.example [{false issue letsencrypt.example; accounturi=https://acme.example/1}]`,
		"odd.corp.example":   `odd.corp.example []`,
		"free.example":       ` []`,
	} {
		server := xmpptest.ListenDNS(t, zone...)
		server.Vouch("example")
		caa, err := newResolver(t, Config{DNSSEC: true}, server).CAA(t.Context(), jid.MustDomain(domain))
		if got := fmt.Sprintf("%s %v", caa.Owner, caa.Records); err != nil || got != want || !caa.Secure {
			t.Errorf("CAA of %s: %s, %v, secure %t; want %s", domain, got, err, caa.Secure, want)
		}
		server.Vouch("own.corp.example")
		server.Break("corp.example", xmpptest.ServerFails)
		caa, err = newResolver(t, Config{DNSSEC: true}, server).CAA(t.Context(), jid.MustDomain(domain))
		climbs := caa.Owner != domain
		if _, failed := errors.AsType[*TemporaryError](err); failed != (climbs && strings.HasSuffix(domain, "corp.example")) || climbs && caa.Secure {
			t.Errorf("CAA of %s, with corp.example failing: %+v, %v", domain, caa, err)
		}
	}
	if caa, err := newResolver(t, Config{}, xmpptest.ListenDNS(t)).CAA(t.Context(), jid.MustDomain("localhost")); err != nil || caa.Records != nil {
		t.Errorf("CAA of localhost: %+v, %v", caa, err)
	}
}

// What `probe` prints is what the gate goes by.
func TestSurvey(t *testing.T) {
	t.Parallel()
	server := xmpptest.ListenDNS(t, clearX, directX, "_xmpps-server._tcp.a.example. 60 IN SRV 40 0 0 x.a.example.", "_xmpp-server._tcp.a.example. 60 IN SRV 50 0 5269 gone.a.example.",
		"_xmpp-server._tcp.a.example. 60 IN SRV 60 0 5269 silent.a.example.", "silent.a.example. 60 IN A 1.1.1.3",
		"x.a.example. 60 IN CNAME real.a.example.", "real.a.example. 60 IN A 1.1.1.1", "real.a.example. 60 IN A 127.0.0.1",
		"_5269._tcp.real.a.example. 60 IN TLSA 3 1 1 "+sum256, "_5269._tcp.real.a.example. 60 IN TLSA 3 1 9 "+sum256)
	server.Vouch("a.example")
	server.Break("_5269._tcp.silent.a.example", xmpptest.Bogus)
	r := newResolver(t, Config{DNSSEC: true, DirectTLS: true}, server)
	s := r.Survey(t.Context(), aExample)
	if s.Err != nil || s.Problem != "" || !s.Validating || s.Took <= 0 || s.Holds != briefly {
		t.Errorf("survey %+v", s)
	}
	s.Took = 0
	text, err := json.MarshalIndent(s, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`"name": "_xmpp-server._tcp.a.example"`, `"20 0 5269 x.a.example."`, `"name": "_xmpps-server._tcp.a.example"`,
		`"canonical": "real.a.example"`, `"tlsa_name": "_5269._tcp.real.a.example"`, `"3 1 1 ` + sum256 + `"`, `"unusable_tlsa": 1`,
		`"reason": "loopback address"`, `"problem": "port 0 cannot be called"`, `"problem": "no such name (NXDOMAIN)"`, `without them it must not be called`, `DNSSEC Bogus`,
	} {
		if !strings.Contains(string(text), want) {
			t.Errorf("the survey lacks %s:\n%s", want, text)
		}
	}
	eps, err := r.Endpoints(t.Context(), aExample)
	if got, want := trust(s.Endpoints), trust(eps); err != nil || !slices.Equal(got, want) || len(got) != 2 {
		t.Errorf("the survey has %q, the gate goes by %q, %v", got, want, err)
	}
	// Surveys are made anew, and tell of failures as the gate sees them.
	server.Set(t)
	if s = r.Survey(t.Context(), aExample); s.Err == nil || s.Problem != s.Err.Error() || len(s.Services) != 2 || s.Services[0].Problem != "no such name (NXDOMAIN)" || !s.Services[0].Secure {
		t.Errorf("survey of nothing: %+v", s)
	}
	if s = r.Survey(t.Context(), jid.MustDomain("localhost")); s.Err == nil || !strings.Contains(s.Problem, "full domain name") {
		t.Errorf("survey of localhost: %+v", s)
	}
}
