package resolve

import (
	"testing"
	"time"

	"github.com/miekg/dns"
)

// What belongs to the answer and what does not, and how long it lasts.
func TestDigest(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name     string
		records  []string
		services int
		ttl      time.Duration
	}{
		{"records of the question's name, in any case of letters", []string{"SRV.a.example. 30 IN SRV 0 0 1 x.", "srv.A.example. 60 IN SRV 0 0 1 y."}, 2, 30 * time.Second},
		{"records of another name", []string{"srv.b.example. 30 IN SRV 0 0 1 x."}, 0, 0},
		{"records of another class", []string{"srv.a.example. 30 CH SRV 0 0 1 x."}, 0, 0},
		{"records of another type", []string{"srv.a.example. 30 IN A 1.1.1.1"}, 0, 0},
		{"records of an alias, and of the name itself", []string{"srv.a.example. 20 IN CNAME b.example.", "b.example. 60 IN SRV 0 0 1 x.", "srv.a.example. 60 IN SRV 0 0 1 y."}, 1, 20 * time.Second},
		{"an alias that leads nowhere", []string{"srv.a.example. 20 IN CNAME b.example.", "c.example. 60 IN SRV 0 0 1 x."}, 0, 0},
		{"an alias of itself", []string{"srv.a.example. 20 IN CNAME srv.a.example.", "srv.a.example. 60 IN SRV 0 0 1 x."}, 0, 0},
		{"a TTL with the top bit set (RFC 2181 §8)", []string{"srv.a.example. 2147483648 IN SRV 0 0 1 x."}, 1, 0},
	} {
		reply := new(dns.Msg).SetQuestion("srv.a.example.", dns.TypeSRV)
		for _, line := range c.records {
			rr, err := dns.NewRR(line)
			if err != nil {
				t.Fatal(err)
			}
			reply.Answer = append(reply.Answer, rr)
		}
		a := digest(reply.Question[0], reply, false)
		if len(a.services) != c.services || len(a.addrs) != 0 || a.ttl != c.ttl {
			t.Errorf("%s: %d services for %v, want %d for %v", c.name, len(a.services), a.ttl, c.services, c.ttl)
		}
	}
}
