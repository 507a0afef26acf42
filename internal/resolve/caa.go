package resolve

import (
	"context"
	"strings"

	"github.com/miekg/dns"

	"sallyport/internal/jid"
)

// CAA is which authorities a domain lets issue certificates for it (RFC 8659).
type CAA struct {
	Owner   string      `json:"owner,omitempty"` // the domain itself or the nearest one above that says anything; empty: nobody does
	Secure  bool        `json:"secure"`          // DNSSEC vouches for every answer on the way there
	Records []CAARecord `json:"records,omitempty"`
}

// CAARecord is one property of it (RFC 8659 §4.1). Tag and Value are a stranger's words.
type CAARecord struct {
	Critical bool   `json:"critical,omitempty"`
	Tag      string `json:"tag"` // in lower case
	Value    string `json:"value"`
}

const (
	maxCAATag   = 15 // RFC 8659 §4.1
	maxCAAValue = 1 << 10
)

func (a *answer) takeCAA(rr *dns.CAA) bool {
	if len(a.caa) == maxCAA || len(rr.Tag) > maxCAATag || len(rr.Value) > maxCAAValue {
		a.unusable++
		return true
	}
	a.caa = append(a.caa, CAARecord{Critical: rr.Flag&0x80 != 0, Tag: strings.ToLower(rr.Tag), Value: rr.Value})
	return true
}

// CAA returns the records that bind d: its own, or those of the nearest domain above it that has any (RFC 8659 §3). It asks anew
// each time.
//
// Errors: *TemporaryError when a question on the way got no answer, so that nothing can be said.
func (r *Resolver) CAA(ctx context.Context, d jid.Domain) (CAA, error) {
	ctx, cancel := context.WithTimeout(ctx, lookupTime)
	defer cancel()
	found := CAA{Secure: true}
	if !d.Qualified() {
		return CAA{}, nil
	}
	name := d.ASCII() + "."
	for end := false; !end; {
		a, _, err := r.ask(ctx, name, dns.TypeCAA)
		if err != nil {
			return CAA{}, unanswered(d, err)
		}
		found.Secure = found.Secure && a.secure
		if a.exists() {
			found.Owner, found.Records = strings.TrimSuffix(name, "."), a.caa
			return found, nil
		}
		var next int
		next, end = dns.NextLabel(name, 0)
		name = name[next:]
	}
	return found, nil
}
