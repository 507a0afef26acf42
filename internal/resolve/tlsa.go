package resolve

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/miekg/dns"
)

// TLSA is a record that says which certificate a server has (RFC 6698 §2.1). Here it comes only from answers that DNSSEC vouches for,
// and only with parameters that have a meaning.
type TLSA struct {
	Usage    uint8 // 0 PKIX-TA, 1 PKIX-EE, 2 DANE-TA, 3 DANE-EE
	Selector uint8 // 0 the whole certificate, 1 its public key
	Matching uint8 // 0 the bytes themselves, 1 SHA-256, 2 SHA-512
	Data     []byte
}

// maxTLSAData is more than any certificate that a TLS handshake can carry in one piece.
const maxTLSAData = 16 << 10

// String writes the record as zone files have it.
func (t TLSA) String() string {
	return fmt.Sprintf("%d %d %d %s", t.Usage, t.Selector, t.Matching, hex.EncodeToString(t.Data))
}

// MarshalText is String, for JSON.
func (t TLSA) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// usable reports whether the parameters are known and the data fits them (RFC 6698 §4.1, RFC 7671 §4).
func (t TLSA) usable() bool {
	sizes := [...]int{0, 32, 64}
	return t.Usage <= 3 && t.Selector <= 1 && int(t.Matching) < len(sizes) && len(t.Data) > 0 && len(t.Data) <= maxTLSAData &&
		(t.Matching == 0 || len(t.Data) == sizes[t.Matching])
}

func (a *answer) takeTLSA(rr *dns.TLSA) bool {
	data, err := hex.DecodeString(rr.Certificate)
	t := TLSA{Usage: rr.Usage, Selector: rr.Selector, Matching: rr.MatchingType, Data: data}
	if err != nil || !t.usable() || len(a.tlsa) == maxTLSA {
		a.unusable++
	} else {
		a.tlsa = append(a.tlsa, t)
	}
	return true
}

// certified is what DNS says about the certificate of one port of a host.
type certified struct {
	name string  // where the records are
	said *answer // nil: there was no need to ask, or nobody answered
	ttl  time.Duration
	err  error
}

// found reports whether there are TLSA records that count. What DNSSEC does not vouch for counts as nothing.
func (c *certified) found() bool { return c.said != nil && c.said.secure && c.said.exists() }

// lookTLSA asks for the TLSA records of a port of a host that DNSSEC vouches for. When the host's name is an alias, the records of
// where it leads come first, and those of the name itself after (RFC 7671 §7). "There are none" and "nobody answered" are different
// things: whoever can keep an answer away must not be able to make us do without the records (RFC 7673 §3.3).
func (r *Resolver) lookTLSA(ctx context.Context, target, canonical string, port uint16) certified {
	names := []string{dns.CanonicalName(target)}
	if c := dns.CanonicalName(canonical); c != names[0] && canonical != "" {
		names = []string{c, names[0]}
	}
	c := certified{ttl: maxTTL}
	for _, host := range names {
		name := fmt.Sprintf("_%d._tcp.%s", port, host)
		if _, ok := dns.IsDomainName(name); !ok {
			continue // no record can have it
		}
		c.name = name
		if c.said, _, c.err = r.ask(ctx, name, dns.TypeTLSA); c.err != nil {
			c.ttl = briefly
			return c
		}
		c.ttl = c.said.limit(c.ttl)
		if c.found() {
			return c
		}
	}
	return c
}

// errNoTLSA is why a host is not called although its address is known.
var errNoTLSA = errors.New("its TLSA records could not be had, and without them it must not be called")
