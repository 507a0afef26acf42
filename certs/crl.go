package certs

import (
	"bytes"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/crypto/cryptobyte"
	der "golang.org/x/crypto/cryptobyte/asn1"
)

var (
	oidIssuingPoint = asn1.ObjectIdentifier{2, 5, 29, 28} // RFC 5280 §5.2.5
	oidCRLNumber    = asn1.ObjectIdentifier{2, 5, 29, 20}
	oidAuthorityKey = asn1.ObjectIdentifier{2, 5, 29, 35}
)

// serial is the number of a certificate, at most 20 bytes (RFC 5280 §4.1.2.2), to the right.
type serial [20]byte

// crl is a list of what one authority took back, ready to be looked up.
type crl struct {
	since   time.Time
	until   time.Time
	serials []serial // sorted, each once
	scope   scope
	partial bool // the rest had to make room: what is not in it may have been taken back, too
}

// scope is what an issuingDistributionPoint limits a list to; the zero scope is everything that its issuer issued.
type scope struct {
	urls                       []string // the list is for certificates that point to one of these; none: for all
	usersOnly, authoritiesOnly bool
}

var errCRL = errors.New("certificate revocation list is not usable")

// parseCRL reads a list that issuer must have signed.
func parseCRL(raw []byte, issuer *x509.Certificate, now time.Time) (*crl, error) {
	list, err := x509.ParseRevocationList(raw)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errCRL, err)
	}
	if err := list.CheckSignatureFrom(issuer); err != nil {
		return nil, fmt.Errorf("%w: not signed by %q", errCRL, printable(issuer.Subject.String()))
	}
	if now.Before(list.ThisUpdate.Add(-clockSkew)) || now.After(list.NextUpdate) {
		return nil, fmt.Errorf("%w: its time is from %s to %s", errCRL, list.ThisUpdate.Format(time.DateTime), list.NextUpdate.Format(time.DateTime))
	}
	out := &crl{since: list.ThisUpdate, until: list.NextUpdate, serials: make([]serial, 0, len(list.RevokedCertificateEntries))}
	for _, ext := range list.Extensions {
		switch {
		case ext.Id.Equal(oidIssuingPoint):
			if out.scope, err = parseScope(ext.Value); err != nil {
				return nil, err
			}
		case ext.Critical && !ext.Id.Equal(oidCRLNumber) && !ext.Id.Equal(oidAuthorityKey):
			return nil, fmt.Errorf("%w: critical extension %s is not understood here", errCRL, ext.Id)
		}
	}
	for _, entry := range list.RevokedCertificateEntries {
		const removed = 8 // removeFromCRL: no longer on hold
		if number, ok := serialOf(entry.SerialNumber.Bytes()); ok && entry.ReasonCode != removed {
			out.serials = append(out.serials, number)
		}
	}
	slices.SortFunc(out.serials, serial.compare)
	out.serials = slices.Compact(out.serials)
	return out, nil
}

func (s serial) compare(other serial) int { return bytes.Compare(s[:], other[:]) }

func serialOf(b []byte) (s serial, ok bool) {
	if len(b) > len(s) {
		return s, false
	}
	copy(s[len(s)-len(b):], b)
	return s, true
}

func (c *crl) has(cert *x509.Certificate) bool {
	number, ok := serialOf(cert.SerialNumber.Bytes())
	if !ok {
		return false
	}
	_, found := slices.BinarySearchFunc(c.serials, number, serial.compare)
	return found
}

// size is the memory that the list takes; nil takes none.
func (c *crl) size() int {
	if c == nil {
		return 0
	}
	n := cap(c.serials) * len(serial{})
	for _, url := range c.scope.urls {
		n += len(url)
	}
	return n
}

// only is what is left of the list when it has to make room: the certificates that somebody showed although they were taken back.
func (c *crl) only(met []serial) *crl {
	met = slices.Clone(met)
	slices.SortFunc(met, serial.compare)
	return &crl{since: c.since, until: c.until, serials: met, scope: c.scope, partial: true}
}

// covers reports whether the list speaks of cert, which points to it as url.
func (c *crl) covers(cert *x509.Certificate, url string) bool {
	switch {
	case c.scope.usersOnly && cert.IsCA, c.scope.authoritiesOnly && !cert.IsCA:
		return false
	}
	return len(c.scope.urls) == 0 || slices.Contains(c.scope.urls, url)
}

// parseScope reads an issuingDistributionPoint. A list for some reasons only, or for other authorities' certificates, would
// need more than this gate knows, and is refused.
func parseScope(value []byte) (s scope, err error) {
	malformed := fmt.Errorf("%w: issuingDistributionPoint is malformed", errCRL)
	input := cryptobyte.String(value)
	var point cryptobyte.String
	if !input.ReadASN1(&point, der.SEQUENCE) || !input.Empty() {
		return scope{}, malformed
	}
	for !point.Empty() {
		var field cryptobyte.String
		var tag der.Tag
		if !point.ReadAnyASN1(&field, &tag) {
			return scope{}, malformed
		}
		set := len(field) == 1 && field[0] != 0
		switch tag {
		case der.Tag(0).ContextSpecific().Constructed():
			if s.urls, err = parsePointName(field); err != nil {
				return scope{}, err
			}
		case der.Tag(1).ContextSpecific():
			s.usersOnly = set
		case der.Tag(2).ContextSpecific():
			s.authoritiesOnly = set
		default:
			return scope{}, fmt.Errorf("%w: it is limited to some reasons, or of another authority", errCRL)
		}
	}
	return s, nil
}

// parsePointName reads the addresses of DistributionPointName: [0] fullName, GeneralNames.
func parsePointName(name cryptobyte.String) (urls []string, err error) {
	var full cryptobyte.String
	if !name.ReadASN1(&full, der.Tag(0).ContextSpecific().Constructed()) || !name.Empty() {
		return nil, fmt.Errorf("%w: its name is relative", errCRL)
	}
	for !full.Empty() {
		var text cryptobyte.String
		var tag der.Tag
		if !full.ReadAnyASN1(&text, &tag) {
			return nil, fmt.Errorf("%w: its name is malformed", errCRL)
		}
		if tag == der.Tag(6).ContextSpecific() {
			urls = append(urls, string(text))
		}
	}
	if len(urls) == 0 {
		return nil, fmt.Errorf("%w: its name is no address", errCRL)
	}
	return urls, nil
}
