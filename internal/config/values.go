package config

import (
	"encoding"
	"encoding/base64"
	"errors"
	"math"
	"net/netip"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

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

// assign writes the value that text means into v, a settable scalar. Its error completes the sentence "… is not …".
func assign(v reflect.Value, text string, words []string) error {
	if v.Kind() == reflect.Pointer {
		fresh := reflect.New(v.Type().Elem())
		if err := assign(fresh.Elem(), text, words); err != nil {
			return err
		}
		v.Set(fresh)
		return nil
	}
	if u, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok {
		return u.UnmarshalText([]byte(text))
	}
	if v.Type() == reflect.TypeFor[time.Duration]() {
		d, err := time.ParseDuration(text)
		if err != nil || d < 0 {
			return errors.New("a duration is a number with its unit")
		}
		v.SetInt(int64(d))
		return nil
	}
	switch v.Kind() {
	case reflect.String:
		if len(words) > 0 && !slices.Contains(words, text) {
			return errors.New("not one of the words")
		}
		v.SetString(text)
	case reflect.Bool:
		if text != "true" && text != "false" {
			return errors.New("neither true nor false")
		}
		v.SetBool(text == "true")
	case reflect.Int64:
		n, err := parseSize(text)
		if err != nil {
			return err
		}
		v.SetInt(n)
	case reflect.Int, reflect.Uint32:
		n, err := strconv.ParseUint(text, 10, 31)
		if err != nil {
			return errors.New("not a whole number of a sane size")
		}
		if v.Kind() == reflect.Int {
			v.SetInt(int64(n))
		} else {
			v.SetUint(n)
		}
	default:
		panic("config: no way to read a " + v.Type().String())
	}
	return nil
}

// parseSize reads a number of bytes: 512KiB, 64MiB, 1GiB, or a bare number.
func parseSize(text string) (int64, error) {
	number, unit := text, int64(1)
	for _, u := range []struct {
		suffix string
		bytes  int64
	}{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"B", 1}} {
		if before, ok := strings.CutSuffix(text, u.suffix); ok {
			number, unit = strings.TrimSpace(before), u.bytes
			break
		}
	}
	n, err := strconv.ParseUint(number, 10, 63)
	if err != nil || int64(n) > math.MaxInt64/unit {
		return 0, errors.New("a size is a whole number and B, KiB, MiB or GiB")
	}
	return int64(n) * unit, nil
}
