package resolve

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"

	"sallyport/internal/xmpptest"
)

// kinds writes endpoints down as "target:port", with "tls " in front for direct TLS, in their order.
func kinds(eps []Endpoint) []string {
	var out []string
	for _, ep := range eps {
		s := fmt.Sprintf("%s:%d", ep.Target, ep.Port)
		if ep.DirectTLS {
			s = "tls " + s
		}
		out = append(out, s)
	}
	return out
}

const (
	clearX  = "_xmpp-server._tcp.a.example. 60 IN SRV 20 0 5269 x.a.example."
	directX = "_xmpps-server._tcp.a.example. 60 IN SRV 10 0 5270 x.a.example."
	noClear = "_xmpp-server._tcp.a.example. 60 IN SRV 0 0 0 ."
	noTLS   = "_xmpps-server._tcp.a.example. 60 IN SRV 0 0 0 ."
	hostX   = "x.a.example. 60 IN A 1.1.1.1"
	hostA   = "a.example. 60 IN A 1.1.1.9"
)

// XEP-0368 §3: which of the two kinds of SRV record count, and that neither lets the domain's own address come back in.
func TestBothKindsOfService(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		id    string
		zone  []string
		want  []string
		err   error
		asked int
	}{
		{"[M07] mixed by priority; the shared host is asked for once", []string{clearX, directX, hostX, hostA}, []string{"tls x.a.example:5270", "x.a.example:5269"}, nil, 4},
		{"[M07] mixed by priority, STARTTLS first", []string{"_xmpps-server._tcp.a.example. 60 IN SRV 30 0 5270 x.a.example.", clearX, hostX}, []string{"x.a.example:5269", "tls x.a.example:5270"}, nil, 4},
		{"[M07] xmpps alone: the domain's own address does not count", []string{directX, hostX, hostA}, []string{"tls x.a.example:5270"}, nil, 4},
		{"[M07] xmpps alone, without address", []string{directX, hostA}, nil, &NotFoundError{}, 4},
		{`[M07] xmpps ".": STARTTLS alone`, []string{noTLS, clearX, hostX, hostA}, []string{"x.a.example:5269"}, nil, 4},
		{`[M07] xmpps "." and no xmpp: the domain's own address does not count`, []string{noTLS, hostA}, nil, &NotFoundError{}, 2},
		{`[M07] xmpp ".": direct TLS alone`, []string{noClear, directX, hostX, hostA}, []string{"tls x.a.example:5270"}, nil, 4},
		{`[D02] xmpp "." and no xmpps`, []string{noClear, hostA}, nil, &NotFoundError{}, 2},
		{`[D02] both "."`, []string{noClear, noTLS, hostA}, nil, &NotFoundError{}, 2},
		{"[D04] neither: the domain's own address, in STARTTLS", []string{hostA}, []string{"a.example:5269"}, nil, 4},
	} {
		t.Run(c.id, func(t *testing.T) {
			t.Parallel()
			server := xmpptest.ListenDNS(t, c.zone...)
			eps, err := newResolver(t, Config{DirectTLS: true}, server).Endpoints(t.Context(), aExample)
			if got := kinds(eps); !slices.Equal(got, c.want) || fmt.Sprintf("%T", err) != fmt.Sprintf("%T", c.err) {
				t.Errorf("endpoints %q, %v; want %q, %T", got, err, c.want, c.err)
			}
			if asked := server.Asked(); len(asked) != c.asked {
				t.Errorf("%d questions, want %d: %q", len(asked), c.asked, asked)
			}
		})
	}
}

// RFC 2782: two kinds of one priority share the load by weight.
func TestKindsShareByWeight(t *testing.T) {
	t.Parallel()
	server := xmpptest.ListenDNS(t, "_xmpp-server._tcp.a.example. 60 IN SRV 5 1 5269 x.a.example.", "_xmpps-server._tcp.a.example. 60 IN SRV 5 3 5270 x.a.example.", hostX)
	r := newResolver(t, Config{DirectTLS: true}, server)
	direct := 0
	const looks = 2000
	for range looks {
		eps, err := r.Endpoints(t.Context(), aExample)
		if err != nil || len(eps) != 2 {
			t.Fatalf("%v, %v", eps, err)
		}
		if eps[0].DirectTLS {
			direct++
		}
	}
	// RFC 2782 draws from 0 to 4 inclusive, of which 0 and 1 are the first in line, of weight 1: three in five are direct.
	if low, high := looks*54/100, looks*66/100; direct < low || direct > high {
		t.Errorf("[M07] direct TLS came first in %d of %d look-ups, want between %d and %d", direct, looks, low, high)
	}
}

// A caller that cannot begin with TLS is not told of places that want it, and nobody is asked for them.
func TestDirectTLSIsOptional(t *testing.T) {
	t.Parallel()
	server := xmpptest.ListenDNS(t, clearX, directX, hostX)
	eps, err := newResolver(t, Config{}, server).Endpoints(t.Context(), aExample)
	if got := kinds(eps); err != nil || !slices.Equal(got, []string{"x.a.example:5269"}) {
		t.Errorf("endpoints %q, %v", got, err)
	}
	if asked := server.Asked(); slices.ContainsFunc(asked, func(q string) bool { return strings.Contains(q, "xmpps") }) {
		t.Errorf("asked %q", asked)
	}
}

// When one of the two SRV questions gets no answer.
func TestOneKindFails(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		zone   []string
		broken string
		how    xmpptest.Fault
		vouch  string
		want   []string // nil: a TemporaryError
	}{
		{"a server that fails for names that it does not have", []string{clearX, hostX}, directPrefix, xmpptest.ServerFails, "", []string{"x.a.example:5269"}},
		{"the same the other way round", []string{directX, hostX}, srvPrefix, xmpptest.ServerFails, "", []string{"tls x.a.example:5270"}},
		{"xmpps fails, xmpp does not exist: no fallback", []string{hostA}, directPrefix, xmpptest.ServerFails, "", nil},
		{`xmpps fails, xmpp is "."`, []string{noClear, hostA}, directPrefix, xmpptest.ServerFails, "", nil},
		{"xmpp fails, xmpps does not exist: no fallback", []string{hostA}, srvPrefix, xmpptest.ServerFails, "", nil},
		{`xmpp fails, xmpps is "."`, []string{noTLS, hostA}, srvPrefix, xmpptest.ServerFails, "", nil},
		{"xmpps is bogus", []string{clearX, hostX}, directPrefix, xmpptest.Bogus, "", nil},
		{"xmpp is signed, so that a failure of xmpps may hide its records", []string{clearX, hostX}, directPrefix, xmpptest.ServerFails, "a.example", nil},
		{"the same the other way round", []string{directX, hostX}, srvPrefix, xmpptest.ServerFails, "a.example", nil},
		{"a signed domain elsewhere changes nothing", []string{clearX, hostX}, directPrefix, xmpptest.ServerFails, "b.example", []string{"x.a.example:5269"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			server := xmpptest.ListenDNS(t, c.zone...)
			server.Break(c.broken+"a.example", c.how)
			if c.vouch != "" {
				server.Vouch(c.vouch)
			}
			eps, err := newResolver(t, Config{DirectTLS: true, DNSSEC: true}, server).Endpoints(t.Context(), aExample)
			if got := kinds(eps); !slices.Equal(got, c.want) {
				t.Errorf("[M07] endpoints %q, want %q", got, c.want)
			}
			temporary, ok := errors.AsType[*TemporaryError](err)
			if ok != (c.want == nil) {
				t.Errorf("[D04] error %T %v", err, err)
			}
			if ok && (temporary.Bogus != (c.how == xmpptest.Bogus) || !strings.Contains(err.Error(), c.broken+"a.example SRV")) {
				t.Errorf("error %v, bogus: %t", err, temporary.Bogus)
			}
		})
	}
}

// A domain whose servers say nothing about xmpps costs a second, is remembered briefly, and is asked again soon. One that is signed
// is waited for: silence must not move us from one kind to the other.
func TestTheOtherKindIsNotWaitedForLong(t *testing.T) {
	t.Parallel()
	for name, signed := range map[string]bool{"unsigned": false, "signed": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := &paper{records: []string{clearX, hostX}, soa: 600, signed: signed}
				r := p.resolver(t, Config{DirectTLS: true})
				r.config.DNSSEC = true
				r.asker.exchange = func(ctx context.Context, server Server, q *dns.Msg) (*dns.Msg, error) {
					if strings.HasPrefix(dns.CanonicalName(q.Question[0].Name), directPrefix) {
						<-ctx.Done()
						return nil, ctx.Err()
					}
					return p.exchange(ctx, server, q)
				}
				begin := time.Now()
				eps, err := r.Endpoints(t.Context(), aExample)
				took := time.Since(begin)
				if signed {
					if _, ok := errors.AsType[*TemporaryError](err); !ok || took != 2*r.config.Timeout {
						t.Errorf("[M07] %v, %v after %v", eps, err, took)
					}
					return
				}
				if err != nil || took != kindWait {
					t.Errorf("[M07] %v, %v after %v, want %v", eps, err, took, kindWait)
				}
				if s := r.Survey(t.Context(), aExample); !strings.Contains(s.Services[1].Problem, "was not waited for any longer") {
					t.Errorf("told as %q", s.Services[1].Problem)
				}
				first := p.count()
				time.Sleep(briefly + time.Millisecond)
				if _, err := r.Endpoints(t.Context(), aExample); err != nil || p.count() == first {
					t.Errorf("[D07] %v: the half answer is remembered for longer than %v", err, briefly)
				}
			})
		})
	}
}

// A missing kind shortens the memory of the other as its SOA record says, and not at all where there is none: some resolvers leave it out.
func TestMissingKindHolds(t *testing.T) {
	t.Parallel()
	for soa, holds := range map[uint32]time.Duration{0: time.Minute, 20: 20 * time.Second, 600: time.Minute} {
		t.Run(fmt.Sprint(soa), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := &paper{records: []string{clearX, hostX, "x.a.example. 60 IN AAAA 2a00::1"}, soa: soa}
				r := p.resolver(t, Config{DirectTLS: true})
				look := func() int {
					if _, err := r.Endpoints(t.Context(), aExample); err != nil {
						t.Fatal(err)
					}
					return p.count()
				}
				first := look()
				time.Sleep(holds - time.Millisecond)
				if n := look(); n != first {
					t.Errorf("[D07] asked again before %v", holds)
				}
				time.Sleep(2 * time.Millisecond)
				if n := look(); n == first {
					t.Errorf("[D07] not asked again after %v", holds)
				}
			})
		})
	}
}
