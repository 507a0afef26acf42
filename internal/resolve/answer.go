package resolve

import (
	"net/netip"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// What one answer may make us do and keep. No honest domain comes near these numbers.
const (
	maxChain    = 8  // CNAME records one behind the other
	maxServices = 10 // SRV targets of a domain, the best ones
	maxAddrs    = 8  // addresses of one host and family
	maxTLSA     = 32 // TLSA records of one port
	maxCAA      = 32 // CAA records of one name
)

// maxTTL is the longest that anything is believed without asking again.
const maxTTL = time.Hour

// service is one SRV record (RFC 2782).
type service struct {
	target                 string // lower case, without final dot; "" for the root, which says "no such service"
	port, priority, weight uint16
}

// answer is what a reply says about its question.
type answer struct {
	rcode    int    // NOERROR or NXDOMAIN
	owner    string // whose records these are: the name asked for, or where its aliases lead; "" when they lead nowhere
	secure   bool   // DNSSEC vouches for all of it, also for there being nothing
	services []service
	addrs    []netip.Addr
	tlsa     []TLSA // usable ones
	unusable int    // TLSA and CAA records that say nothing to us
	caa      []CAARecord
	ttl      time.Duration // for how long; 0 when the reply does not say (a negative answer without SOA record)
}

// exists reports whether any record of the type asked for was there. Otherwise the answer is NXDOMAIN or NODATA, which mean
// the same to us ([D04]).
func (a *answer) exists() bool {
	return len(a.services)+len(a.addrs)+len(a.tlsa)+a.unusable+len(a.caa) > 0
}

// limit shortens ttl to the life of the answer, if the answer says how long that is.
func (a *answer) limit(ttl time.Duration) time.Duration {
	if !a.exists() && a.ttl == 0 {
		return ttl
	}
	return min(ttl, a.ttl)
}

// why says what kind of negative answer this is.
func (a *answer) why() string {
	if a.rcode == dns.RcodeNameError {
		return "no such name (NXDOMAIN)"
	}
	return "no such record (NODATA)"
}

// digest reads the records that answer the question of q out of reply, following CNAMEs within it. Records of other
// names, classes and types are passed over: nobody asked for them. believed says that the server's word about DNSSEC counts.
func digest(q dns.Question, reply *dns.Msg, believed bool) *answer {
	a := &answer{rcode: reply.Rcode, ttl: maxTTL}
	owner := follow(q, reply.Answer, a)
	a.owner, a.secure = owner, believed && reply.AuthenticatedData && owner != ""
	for _, rr := range reply.Answer {
		h := rr.Header()
		if h.Class != q.Qclass || h.Rrtype != q.Qtype || !sameName(h.Name, owner) {
			continue
		}
		if a.take(rr) {
			a.lasts(h.Ttl)
		}
	}
	if !a.exists() {
		a.ttl = negativeTTL(reply.Ns)
	}
	return a
}

// follow goes along the CNAME chain from the question's name to the name that owns the records (RFC 1034 §3.6.2). A chain that is
// too long, or a circle, ends at a name that owns nothing.
func follow(q dns.Question, records []dns.RR, a *answer) string {
	owner := q.Name
	for range maxChain {
		next := ""
		for _, rr := range records {
			if c, ok := rr.(*dns.CNAME); ok && c.Hdr.Class == q.Qclass && sameName(c.Hdr.Name, owner) {
				next = c.Target
				a.lasts(c.Hdr.Ttl)
				break
			}
		}
		if next == "" {
			return owner
		}
		owner = next
	}
	return ""
}

// take adds a record to the answer, as far as there is room.
func (a *answer) take(rr dns.RR) bool {
	switch rr := rr.(type) {
	case *dns.SRV:
		a.services = append(a.services, service{
			target: strings.TrimSuffix(dns.CanonicalName(rr.Target), "."),
			port:   rr.Port, priority: rr.Priority, weight: rr.Weight})
		return true
	case *dns.A:
		return a.takeAddr(netip.AddrFromSlice(rr.A))
	case *dns.AAAA:
		return a.takeAddr(netip.AddrFromSlice(rr.AAAA))
	case *dns.TLSA:
		return a.takeTLSA(rr)
	case *dns.CAA:
		return a.takeCAA(rr)
	}
	return false
}

func (a *answer) takeAddr(addr netip.Addr, ok bool) bool {
	if !ok || len(a.addrs) == maxAddrs {
		return false
	}
	a.addrs = append(a.addrs, addr.Unmap())
	return true
}

// lasts shortens the life of the answer to that of one of its records. A TTL with the top bit set counts as zero (RFC 2181 §8).
func (a *answer) lasts(ttl uint32) {
	if ttl > 1<<31-1 {
		ttl = 0
	}
	a.ttl = min(a.ttl, time.Duration(ttl)*time.Second)
}

// negativeTTL is how long a negative answer holds: the lesser of the SOA record's TTL and its MINIMUM field (RFC 2308 §5).
func negativeTTL(authority []dns.RR) time.Duration {
	for _, rr := range authority {
		if soa, ok := rr.(*dns.SOA); ok {
			life := answer{ttl: maxTTL}
			life.lasts(soa.Hdr.Ttl)
			life.lasts(soa.Minttl)
			return life.ttl
		}
	}
	return 0
}

// sameName compares domain names as DNS does, ASCII letters without regard to case.
func sameName(a, b string) bool { return dns.CanonicalName(a) == dns.CanonicalName(b) }
