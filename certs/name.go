package certs

import (
	"crypto/x509"
	"net/netip"
	"strings"

	"golang.org/x/net/idna"
)

// How a domain was found in a certificate, in the order in which the forms are tried.
const (
	DNSID    = "DNS-ID"
	SRVID    = "SRV-ID"
	XMPPAddr = "xmppAddr"
)

// identity is one domain that a certificate speaks for.
type identity struct {
	form     string // DNSID, SRVID or XMPPAddr
	name     string // lower-case A-labels; of a wildcard the part behind "*."
	wildcard bool
}

// String is the domain, or the wildcard as the certificate writes it.
func (id identity) String() string {
	if id.wildcard {
		return "*." + id.name
	}
	return id.name
}

// names reports whether id stands for domain, which is canonical. A wildcard stands for exactly one label (RFC 6125 §6.4.3).
func (id identity) names(domain string) bool {
	if !id.wildcard {
		return id.name == domain
	}
	_, rest, ok := strings.Cut(domain, ".")
	return ok && rest == id.name
}

// identities returns the domains that cert speaks for, DNS-ID before SRV-ID before xmppAddr. A name that is not a plain host name
// is left out: NUL, other control characters, empty labels and wildcards in odd places never match anything.
func identities(cert *x509.Certificate) ([]identity, error) {
	dns, srv, xmpp, err := ParseSAN(cert)
	if err != nil {
		return nil, err
	}
	var ids []identity
	for _, name := range dns {
		if id, ok := dnsIdentity(DNSID, name); ok {
			ids = append(ids, id)
		}
	}
	for _, name := range srv {
		// RFC 6125 §6.5.1: the service without regard to case, the rest by the rules of DNS names.
		const service = "_xmpp-server."
		if len(name) > len(service) && strings.EqualFold(name[:len(service)], service) {
			if id, ok := dnsIdentity(SRVID, name[len(service):]); ok {
				ids = append(ids, id)
			}
		}
	}
	for _, address := range xmpp {
		// An address with '@' or '/' is somebody's account, not a server (RFC 6120 §13.7.1.4); both are refused as host names.
		if name, ok := canonical(address); ok {
			ids = append(ids, identity{form: XMPPAddr, name: name})
		}
	}
	return ids, nil
}

func dnsIdentity(form, presented string) (identity, bool) {
	name, wildcard := strings.CutPrefix(presented, "*.")
	ascii, ok := canonicalASCII(name)
	return identity{form: form, name: ascii, wildcard: wildcard}, ok && !endsInNumber(ascii)
}

// reference is the canonical form of a domain that somebody claims: one final dot is allowed. IP addresses are no domains
// ([I08]).
func reference(domain string) (string, bool) {
	return canonical(strings.TrimSuffix(domain, "."))
}

// canonical returns the lower-case A-labels of a host name; false for everything else.
func canonical(name string) (string, bool) {
	if _, err := netip.ParseAddr(strings.Trim(name, "[]")); err == nil {
		return "", false
	}
	for i := range len(name) {
		if name[i] < 0x80 {
			continue
		}
		ascii, err := idna.New(idna.MapForLookup(), idna.Transitional(false), idna.BidiRule(), idna.StrictDomainName(true)).ToASCII(name)
		if err != nil {
			return "", false
		}
		name = ascii
		break
	}
	ascii, ok := canonicalASCII(name)
	return ascii, ok && !endsInNumber(ascii)
}

// canonicalASCII lowers the case of a host name of letters, digits, hyphens and underscores, in labels of 1 to 63 bytes.
func canonicalASCII(name string) (string, bool) {
	if name == "" || len(name) > 253 {
		return "", false
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return "", false
		}
		for i := range len(label) {
			c := label[i]
			if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_') {
				return "", false
			}
		}
	}
	return strings.ToLower(name), true
}

// endsInNumber reports whether the last label is all digits, as only that of an address is.
func endsInNumber(name string) bool {
	last := name[strings.LastIndexByte(name, '.')+1:]
	return strings.Trim(last, "0123456789") == ""
}
