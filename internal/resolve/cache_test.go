package resolve

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"

	"sallyport/internal/jid"
)

// paper is a name server made of paper: for the tests in which time is pretended, and so the network has to be.
type paper struct {
	mu      sync.Mutex
	records []string      // lines of a zone file
	soa     uint32        // seconds that negative answers hold; 0: they do not say
	fails   bool          // says SERVFAIL to everything
	signed  bool          // says that DNSSEC vouches for everything
	delay   time.Duration // before each answer
	asked   int
}

func (p *paper) exchange(ctx context.Context, _ Server, q *dns.Msg) (*dns.Msg, error) {
	p.mu.Lock()
	p.asked++
	delay, records, soa, fails := p.delay, p.records, p.soa, p.fails
	p.mu.Unlock()
	select {
	case <-time.After(delay):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	reply := new(dns.Msg).SetReply(q)
	reply.AuthenticatedData = p.signed
	if fails {
		reply.Rcode = dns.RcodeServerFailure
		return reply, nil
	}
	for _, line := range records {
		rr, err := dns.NewRR(line)
		if err != nil {
			return nil, err
		}
		if sameName(rr.Header().Name, q.Question[0].Name) && rr.Header().Rrtype == q.Question[0].Qtype {
			reply.Answer = append(reply.Answer, rr)
		}
	}
	if len(reply.Answer) == 0 {
		reply.Rcode = dns.RcodeNameError
		if soa > 0 {
			reply.Ns = []dns.RR{&dns.SOA{Hdr: dns.RR_Header{Name: ".", Rrtype: dns.TypeSOA, Class: dns.ClassINET, Ttl: 3600}, Ns: ".", Mbox: ".", Minttl: soa}}
		}
	}
	return reply, nil
}

func (p *paper) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.asked
}

func (p *paper) resolver(t *testing.T, c Config) *Resolver {
	t.Helper()
	c.Servers = []Server{{Addr: netip.MustParseAddrPort("192.0.2.53:53")}}
	r, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	r.asker.exchange = p.exchange
	return r
}

const lookupQuestions = 3 // SRV, AAAA, A

// [D07]: how long each kind of finding is believed.
func TestFindingsHoldForTheirTime(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		server  *paper
		holds   time.Duration
		isError bool
	}{
		{"the shortest TTL of all records, the service's", &paper{records: []string{"_xmpp-server._tcp.a.example. 60 IN SRV 0 0 1 x.example.", "x.example. 90 IN A 1.1.1.1"}, soa: 120}, 60 * time.Second, false},
		{"the shortest TTL of all records, the host's", &paper{records: []string{"_xmpp-server._tcp.a.example. 90 IN SRV 0 0 1 x.example.", "x.example. 30 IN A 1.1.1.1"}, soa: 120}, 30 * time.Second, false},
		{"never over an hour", &paper{records: []string{"_xmpp-server._tcp.a.example. 99999 IN SRV 0 0 1 x.example.", "x.example. 99999 IN A 1.1.1.1"}}, time.Hour, false},
		{"a fallback no longer than there is no SRV record", &paper{records: []string{"a.example. 99 IN A 1.1.1.1"}, soa: 70}, 70 * time.Second, false},
		{"a missing domain as its SOA record says", &paper{soa: 45}, 45 * time.Second, true},
		{"a missing domain without SOA record", &paper{}, briefly, true},
		{"no answer", &paper{fails: true}, briefly, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := c.server.resolver(t, Config{})
				look := func() {
					if _, err := r.Endpoints(t.Context(), aExample); (err != nil) != c.isError {
						t.Fatalf("[D07] error %v", err)
					}
				}
				look()
				first := c.server.count()
				time.Sleep(c.holds - time.Millisecond)
				look()
				if n := c.server.count(); n != first {
					t.Errorf("[D07] asked again after %v, which is %v too early", c.holds-time.Millisecond, time.Millisecond)
				}
				time.Sleep(2 * time.Millisecond)
				look()
				if n := c.server.count(); n != 2*first {
					t.Errorf("[D07] not asked again after %v: %d questions, want %d", c.holds, n, 2*first)
				}
			})
		})
	}
}

func TestTTLZeroIsNotKept(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &paper{records: []string{"_xmpp-server._tcp.a.example. 0 IN SRV 0 0 1 x.example.", "x.example. 90 IN A 1.1.1.1"}, soa: 60}
		r := p.resolver(t, Config{})
		for i := range 3 {
			if _, err := r.Endpoints(t.Context(), aExample); err != nil {
				t.Fatal(err)
			}
			if n := p.count(); n != (i+1)*lookupQuestions {
				t.Errorf("[D07] %d questions after %d look-ups", n, i+1)
			}
			if n := len(r.cache.entries); n != 0 {
				t.Errorf("%d domains are kept for no time", n)
			}
		}
	})
}

func TestForget(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &paper{records: []string{"a.example. 90 IN A 1.1.1.1"}, soa: 60}
		r := p.resolver(t, Config{})
		for range 2 {
			if _, err := r.Endpoints(t.Context(), aExample); err != nil {
				t.Fatal(err)
			}
			r.Forget(aExample)
		}
		if n := p.count(); n != 2*lookupQuestions {
			t.Errorf("%d questions for two look-ups with Forget between", n)
		}
	})
}

// What a caller does to its endpoints is nobody else's business.
func TestEndpointsAreTheCallersOwn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := (&paper{records: []string{"a.example. 90 IN A 1.1.1.1"}, soa: 60}).resolver(t, Config{})
		for range 2 {
			eps, err := r.Endpoints(t.Context(), aExample)
			if got := places(eps); err != nil || !slices.Equal(got, []string{"a.example:5269 1.1.1.1"}) {
				t.Fatalf("endpoints %q, %v", got, err)
			}
			eps[0].Target, eps[0].Addrs[0] = "spoilt", netip.IPv6Loopback()
		}
	})
}

// [D01]: equals share the load although the answer comes out of the cache.
func TestOrderIsDrawnForEachCaller(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &paper{records: []string{"_xmpp-server._tcp.a.example. 60 IN SRV 0 1 1 x.example.", "_xmpp-server._tcp.a.example. 60 IN SRV 0 1 1 y.example.",
			"x.example. 60 IN A 1.1.1.1", "y.example. 60 IN A 1.1.1.2"}, soa: 60}
		r := p.resolver(t, Config{})
		first := map[string]int{}
		for range 200 {
			eps, err := r.Endpoints(t.Context(), aExample)
			if err != nil {
				t.Fatal(err)
			}
			first[eps[0].Target]++
		}
		if first["x.example"] < 40 || first["y.example"] < 40 {
			t.Errorf("first of 200 times: %v", first)
		}
	})
}

func TestOneLookupForAllWhoWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &paper{records: []string{"a.example. 0 IN A 1.1.1.1"}, soa: 60, delay: time.Second}
		r := p.resolver(t, Config{})
		var all sync.WaitGroup
		for range 100 {
			all.Go(func() {
				if _, err := r.Endpoints(t.Context(), aExample); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if n := p.count(); n != lookupQuestions {
			t.Errorf("%d questions for 100 look-ups at once, want %d", n, lookupQuestions)
		}
	})
}

// The one who asks for all may have to go: the others must not fail for that, nor wait for ever.
func TestTheNextLeadsWhenTheFirstGoes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &paper{records: []string{"a.example. 60 IN A 1.1.1.1"}, soa: 60, delay: time.Second}
		r := p.resolver(t, Config{})
		ctx, cancel := context.WithCancel(t.Context())
		var all sync.WaitGroup
		all.Go(func() {
			if _, err := r.Endpoints(ctx, aExample); !errors.Is(err, context.Canceled) {
				t.Errorf("the first gets %v, want the end of its context", err)
			}
		})
		synctest.Wait()
		for range 10 {
			all.Go(func() {
				if _, err := r.Endpoints(t.Context(), aExample); err != nil {
					t.Errorf("one who waited gets %v", err)
				}
			})
		}
		all.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			start := time.Now()
			if _, err := r.Endpoints(ctx, aExample); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) > 100*time.Millisecond {
				t.Errorf("one with a deadline of its own gets %v after %v", err, time.Since(start))
			}
		})
		synctest.Wait()
		cancel()
		all.Wait()
	})
}

func TestLookupsAreBoundedInNumberAndTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &paper{delay: time.Hour}
		r := p.resolver(t, Config{})
		var all sync.WaitGroup
		for i := range 3 * maxLookups {
			all.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), 2*lookupTime)
				defer cancel()
				_, _ = r.Endpoints(ctx, jid.MustDomain(fmt.Sprintf("d%d.example", i)))
			})
		}
		synctest.Wait()
		if n := p.count(); n != maxLookups {
			t.Errorf("B10: %d questions under way, want %d", n, maxLookups)
		}
		start := time.Now()
		all.Wait()
		if took := time.Since(start); took > 2*lookupTime {
			t.Errorf("a name server of tar held us for %v", took)
		}
	})
}

func TestCacheIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &paper{soa: 3600}
		r := p.resolver(t, Config{CacheEntries: 50})
		for i := range 500 {
			_, _ = r.Endpoints(t.Context(), jid.MustDomain(fmt.Sprintf("d%d.example", i)))
		}
		if n := len(r.cache.entries); n != 50 {
			t.Errorf("[D07] %d domains remembered, want 50", n)
		}
		time.Sleep(2 * time.Hour)
		_, _ = r.Endpoints(t.Context(), aExample)
		if n := len(r.cache.entries); n > 50-10 {
			t.Errorf("%d domains remembered although all have expired", n)
		}
	})
}

// A family that does not answer at all costs half a second, not the time of all attempts.
func TestTheOtherFamilyIsNotWaitedForLong(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &paper{records: []string{"a.example. 600 IN A 1.1.1.1"}, soa: 600}
		r := p.resolver(t, Config{})
		r.asker.exchange = func(ctx context.Context, server Server, q *dns.Msg) (*dns.Msg, error) {
			if q.Question[0].Qtype == dns.TypeAAAA {
				<-ctx.Done()
				return nil, ctx.Err()
			}
			return p.exchange(ctx, server, q)
		}
		start := time.Now()
		eps, err := r.Endpoints(t.Context(), aExample)
		if got := places(eps); err != nil || !slices.Equal(got, []string{"a.example:5269 1.1.1.1"}) {
			t.Errorf("endpoints %q, %v", got, err)
		}
		if took := time.Since(start); took != secondWait {
			t.Errorf("waited %v for the other family, want %v", took, secondWait)
		}
		before := p.count()
		time.Sleep(briefly + time.Millisecond)
		if _, err := r.Endpoints(t.Context(), aExample); err != nil || p.count() == before {
			t.Errorf("the silent family is not asked again soon (%v)", err)
		}
	})
}

func TestErrorsTellWhatToDo(t *testing.T) {
	t.Parallel()
	var many []Refusal
	for range 80 {
		many = append(many, Refusal{Target: "x.example", At: netip.MustParseAddrPort("10.0.0.1:5269"), Reason: "private address"})
	}
	if text := (&FilteredError{Domain: "a.example", Refused: many}).Error(); len(text) > 400 || !strings.Contains(text, "and 77 more") {
		t.Errorf("80 refusals fill %d bytes: %s", len(text), text)
	}
	if text := (&DialError{}).Error(); text == "" {
		t.Error("a DialError without attempts says nothing")
	}
}
