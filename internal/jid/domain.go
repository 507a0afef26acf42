package jid

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/idna"
	"golang.org/x/text/unicode/norm"
)

// maxPart is the longest that any of the three parts may be, in bytes (RFC 7622 §3.2, RFC 7622 §3.3, RFC 7622 §3.4).
const maxPart = 1023

// Reasons for refusing a domainpart, found by errors.Is in what ParseDomain, Parse and UnmarshalText return.
var (
	ErrEmptyDomain = errors.New("domain is empty")
	ErrLongDomain  = errors.New("domain is too long")
	ErrBadDomain   = errors.New("domain is not a host name or IP literal")
)

// Domain is a domainpart in its canonical form: lower-case U-labels without a final dot, or an IP literal. Equal Domains are the
// same domain. The zero Domain is no domain at all and contains nothing.
type Domain struct {
	unicode string
	ascii   string // determined by unicode, so that == stays the comparison of names
}

// ParseDomain returns the canonical form of s (RFC 7622 §3.2.1): one final dot removed, A-labels turned into U-labels, mapped and
// case-folded as IDNA asks, and checked label by label. Its errors wrap ErrEmptyDomain, ErrLongDomain or ErrBadDomain.
func ParseDomain(s string) (Domain, error) {
	s = strings.TrimSuffix(s, ".")
	switch {
	case s == "":
		return Domain{}, ErrEmptyDomain
	case len(s) > maxPart:
		return Domain{}, ErrLongDomain
	case s[0] == '[':
		return parseIPv6(s)
	case plainName(s):
		return finish(s, s)
	case !utf8.ValidString(s):
		return Domain{}, fmt.Errorf("%w: not UTF-8", ErrBadDomain)
	}
	return parseIDN(s)
}

// MustDomain is ParseDomain for constants and tests. It panics on what is not a domain.
func MustDomain(s string) Domain {
	d, err := ParseDomain(s)
	if err != nil {
		panic(fmt.Sprintf("jid.MustDomain(%q): %v", s, err))
	}
	return d
}

// String returns the U-label form, as it is written on the wire; empty for the zero Domain.
func (d Domain) String() string { return d.unicode }

// ASCII returns the A-label form, for DNS questions, SNI and certificates. An IPv6 literal keeps its brackets.
func (d Domain) ASCII() string { return d.ascii }

// IsZero reports whether d is the zero Domain.
func (d Domain) IsZero() bool { return d.unicode == "" }

// IsIP reports whether d is an IPv4 address or a bracketed IPv6 address rather than a name.
func (d Domain) IsIP() bool {
	return d.unicode != "" && (d.unicode[0] == '[' || endsInNumber(d.unicode))
}

// Qualified reports whether d is a name of at least two labels; only such a name can be looked up in the public DNS.
func (d Domain) Qualified() bool { return strings.Contains(d.unicode, ".") && !d.IsIP() }

// Within reports whether d is parent or a subdomain of it. Nothing is within the zero Domain.
func (d Domain) Within(parent Domain) bool {
	if d == parent {
		return !d.IsZero()
	}
	at := len(d.unicode) - len(parent.unicode)
	return !parent.IsZero() && at > 1 && d.unicode[at-1] == '.' && d.unicode[at:] == parent.unicode && !d.IsIP()
}

// MarshalText returns String.
func (d Domain) MarshalText() ([]byte, error) { return []byte(d.unicode), nil }

// UnmarshalText is ParseDomain; a fault leaves d as it was.
func (d *Domain) UnmarshalText(text []byte) error {
	parsed, err := ParseDomain(string(text))
	if err != nil {
		return err
	}
	*d = parsed
	return nil
}

// plainName reports whether s consists of lower-case ASCII letters, digits, hyphens and dots alone and holds nothing that
// looks like an A-label, so that mapping would not change it.
func plainName(s string) bool {
	for i := range len(s) {
		c := s[i]
		if !('a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '-' || c == '.') {
			return false
		}
		if c == '-' && i > 0 && s[i-1] == '-' {
			return false
		}
	}
	return true
}

// parseIDN maps s as UTS 46 does for look-ups, without the transitional mappings that once turned ß into ss.
func parseIDN(s string) (Domain, error) {
	if reserved(s) {
		return Domain{}, fmt.Errorf("%w: hyphens where an A-label has them, in a label that is none", ErrBadDomain)
	}
	profile := idna.New(idna.MapForLookup(), idna.Transitional(false), idna.BidiRule(), idna.StrictDomainName(true))
	ascii, err := profile.ToASCII(s)
	if err != nil {
		return Domain{}, fmt.Errorf("%w: %w", ErrBadDomain, err)
	}
	text, err := profile.ToUnicode(ascii)
	if err != nil {
		return Domain{}, fmt.Errorf("%w: %w", ErrBadDomain, err)
	}
	// A name that mapping changes twice has two canonical forms, and so none.
	if again, err := profile.ToASCII(text); err != nil || again != ascii || reserved(text) {
		return Domain{}, fmt.Errorf("%w: no stable form", ErrBadDomain)
	}
	return finish(text, ascii)
}

// reserved reports whether a label of s has letters beyond ASCII and yet "--" in the place that is kept for A-labels (RFC 5891 §4.2.3.1).
// Mapping would read what is behind "xn--" as the code of another name.
func reserved(s string) bool {
	visible := strings.Map(func(r rune) rune {
		switch {
		case unicode.Is(unicode.Cf, r), unicode.Is(unicode.Variation_Selector, r):
			return -1
		case r == '\u3002':
			return '.'
		}
		return r
	}, norm.NFKC.String(s))
	for label := range strings.SplitSeq(visible, ".") {
		r := []rune(label)
		if len(r) > 4 && r[2] == '-' && r[3] == '-' && strings.ContainsFunc(label, func(r rune) bool { return r >= utf8.RuneSelf }) {
			return true
		}
	}
	return false
}

// finish checks what is common to all names: labels of 1 to 63 bytes in A-label form, 253 bytes in all (RFC 1035 §2.3.4), no
// hyphen at a label's edge; a last label that is a number only as part of an IPv4 address.
func finish(name, ascii string) (Domain, error) {
	if len(ascii) > 253 || len(name) > maxPart {
		return Domain{}, ErrLongDomain
	}
	for label := range strings.SplitSeq(ascii, ".") {
		switch {
		case label == "":
			return Domain{}, fmt.Errorf("%w: empty label", ErrBadDomain)
		case len(label) > 63:
			return Domain{}, fmt.Errorf("%w: label of more than 63 bytes", ErrLongDomain)
		case label[0] == '-' || label[len(label)-1] == '-':
			return Domain{}, fmt.Errorf("%w: hyphen at the edge of a label", ErrBadDomain)
		}
	}
	// Resolvers read "127.1" and "0x7f000001" as addresses; only the usual form of four numbers may name one here.
	if endsInNumber(ascii) {
		ip, err := netip.ParseAddr(ascii)
		if err != nil {
			return Domain{}, fmt.Errorf("%w: last label is a number", ErrBadDomain)
		}
		name, ascii = ip.String(), ip.String()
	}
	return Domain{unicode: name, ascii: ascii}, nil
}

// parseIPv6 reads a bracketed IPv6 literal (RFC 6120 §4.7.1 by way of RFC 7622 §3.2), without zone.
func parseIPv6(s string) (Domain, error) {
	inner, closed := strings.CutSuffix(s[1:], "]")
	ip, err := netip.ParseAddr(inner)
	if err != nil || !closed || !ip.Is6() || ip.Zone() != "" {
		return Domain{}, fmt.Errorf("%w: bad IPv6 literal", ErrBadDomain)
	}
	literal := "[" + ip.String() + "]"
	return Domain{unicode: literal, ascii: literal}, nil
}

// endsInNumber reports whether the last label of s is decimal, or hexadecimal behind 0x. No top-level domain is.
func endsInNumber(s string) bool {
	last := s[strings.LastIndexByte(s, '.')+1:]
	digits := "0123456789"
	if hex, ok := strings.CutPrefix(last, "0x"); ok {
		last, digits = hex, "0123456789abcdef"
	}
	return strings.Trim(last, digits) == ""
}
