package config

import (
	"encoding/base64"
	"errors"
	"net/netip"
	"reflect"
	"strings"
	"time"

	"sallyport/audit"
	"sallyport/internal/config/document"
	"sallyport/internal/jid"
	"sallyport/internal/resolve"
)

// Pattern says for which remote domains a peers entry speaks: a domain in its canonical form, "*." and one for all domains below it, or
// DefaultPeer.
type Pattern string

// DefaultPeer is the key of the entry whose values hold where a peer's own entry is silent.
const DefaultPeer Pattern = "default"

// UnmarshalText takes a pattern into its canonical form.
func (p *Pattern) UnmarshalText(text []byte) error {
	if Pattern(text) == DefaultPeer {
		*p = DefaultPeer
		return nil
	}
	name, wildcard := strings.CutPrefix(string(text), "*.")
	d, err := jid.ParseDomain(name)
	if err != nil {
		return err
	}
	*p = Pattern(d.String())
	if wildcard {
		*p = "*." + *p
	}
	return nil
}

// Domain returns the domain, or the one behind "*."; zero for DefaultPeer.
func (p Pattern) Domain() (d jid.Domain, wildcard bool) {
	if p == DefaultPeer {
		return jid.Domain{}, false
	}
	name, wildcard := strings.CutPrefix(string(p), "*.")
	d, err := jid.ParseDomain(name)
	if err != nil {
		return jid.Domain{}, false // not made by UnmarshalText
	}
	return d, wildcard
}

// Date is a day, written 2027-06-30; empty for none. Dates sort as text.
type Date string

// UnmarshalText takes a day of the calendar.
func (d *Date) UnmarshalText(text []byte) error {
	if _, err := time.Parse(time.DateOnly, string(text)); err != nil {
		return errors.New("not a day of the calendar, year-month-day")
	}
	*d = Date(text)
	return nil
}

// Pin is the SHA-256 of a public key, written "sha256/" and base64.
type Pin string

// UnmarshalText takes a well-formed pin.
func (p *Pin) UnmarshalText(text []byte) error {
	encoded, ok := strings.CutPrefix(string(text), "sha256/")
	sum, err := base64.StdEncoding.Strict().DecodeString(encoded)
	if !ok || err != nil || len(sum) != 32 {
		return errors.New("not sha256/ and the base64 of 32 bytes")
	}
	*p = Pin(text)
	return nil
}

// HostPort is a host name or address with a port.
type HostPort string

// UnmarshalText takes a host or address with its port.
func (h *HostPort) UnmarshalText(text []byte) error {
	endpoint, err := resolve.ParseRoute(string(text))
	if err == nil && endpoint.DirectTLS {
		err = errors.New("nothing but host:port can stand here")
	}
	if err != nil {
		return err
	}
	*h = HostPort(text)
	return nil
}

// Addr returns the address; false when the host is a name.
func (h HostPort) Addr() (netip.AddrPort, bool) {
	ap, err := netip.ParseAddrPort(string(h))
	return ap, err == nil
}

// Route says where a peer is called: host:port, with tls:// in front for a stream that begins with TLS (XEP-0368).
type Route string

// UnmarshalText takes what resolve.ParseRoute takes.
func (r *Route) UnmarshalText(text []byte) error {
	if _, err := resolve.ParseRoute(string(text)); err != nil {
		return err
	}
	*r = Route(text)
	return nil
}

// Endpoint is the place as the resolver knows it; the zero Endpoint when r was not made by UnmarshalText.
func (r Route) Endpoint() resolve.Endpoint {
	endpoint, err := resolve.ParseRoute(string(r))
	if err != nil {
		return resolve.Endpoint{}
	}
	return endpoint
}

// nouns are what values are called whose types are ours.
func nouns() document.Nouns {
	return document.Nouns{
		reflect.TypeFor[jid.Domain]():     {Name: "domain", Example: "corp.example"},
		reflect.TypeFor[Pattern]():        {Name: "domain, *.suffix or default", Example: "partner.example"},
		reflect.TypeFor[Date]():           {Name: "date", Example: "2027-06-30"},
		reflect.TypeFor[resolve.Server](): {Name: "name server", Example: "127.0.0.53:53 or tls://192.0.2.53#dns.example"},
		reflect.TypeFor[Route]():          {Name: "host:port", Example: "192.0.2.1:5269, xmpp.example:5269 or tls://xmpp.example:5270"},
		reflect.TypeFor[HostPort]():       {Name: "host:port", Example: "192.0.2.1:5269 or xmpp.example:5269"},
		reflect.TypeFor[audit.Term]():     {Name: "number of days or years", Example: "90d or 2y"},
		reflect.TypeFor[Pin]():            {Name: "pin", Example: "sha256/47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="},
	}
}
