package certs

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
)

// Bounds of RSA keys. Below the lower a signature can be forged, above the upper checking one is a burden of its own.
const (
	minRSA = 2048
	maxRSA = 8192
)

// weakness says which key of a chain is too weak, the anchor's included.
func weakness(chain []*x509.Certificate) error {
	for _, cert := range chain {
		if fault := keyFault(cert.PublicKey); fault != "" {
			return fmt.Errorf("%w: %s of %q", ErrWeak, fault, printable(cert.Subject.String()))
		}
	}
	return nil
}

// keyFault says what is wrong with a public key; empty when nothing is.
func keyFault(public any) string {
	switch key := public.(type) {
	case *rsa.PublicKey:
		if bits := key.N.BitLen(); bits < minRSA || bits > maxRSA {
			return fmt.Sprintf("RSA key of %d bits (%d to %d are accepted)", bits, minRSA, maxRSA)
		}
		return ""
	case *ecdsa.PublicKey:
		if bits := key.Curve.Params().BitSize; bits < 256 {
			return fmt.Sprintf("elliptic curve of %d bits (256 are needed)", bits)
		}
		return ""
	case ed25519.PublicKey:
		return ""
	}
	return "kind of key that is not accepted"
}

func oversized(cert *x509.Certificate) bool {
	key, ok := cert.PublicKey.(*rsa.PublicKey)
	return ok && key.N.BitLen() > maxRSA
}

// explain turns the refusal of x509 into one of our reasons, with the facts that mend it.
func (a *anchors) explain(err error, sent []*x509.Certificate, now time.Time) error {
	var invalid x509.CertificateInvalidError
	if errors.As(err, &invalid) {
		return explainInvalid(invalid, now)
	}
	// A chain that ends nowhere has one of several causes, which x509 tells as a hint at best.
	for i, cert := range sent {
		if fault := ownFault(cert, i == 0, now); fault != nil {
			return fault
		}
	}
	leaf := sent[0]
	switch {
	case a.empty:
		return fmt.Errorf("%w: there is none; install the system's ca-certificates, or list PEM files in certs.roots", ErrUntrusted)
	case string(leaf.RawIssuer) == string(leaf.RawSubject):
		return fmt.Errorf("%w: it is self-signed; pin sha256/%s or list it in certs.roots to accept it", ErrUntrusted, SPKI(leaf))
	}
	return fmt.Errorf("%w: issued by %q, the peer sent %d certificates (is an intermediate missing?)",
		ErrUntrusted, printable(leaf.Issuer.String()), len(sent))
}

// explainInvalid names the reason for which x509 refused a certificate that it could place.
func explainInvalid(e x509.CertificateInvalidError, now time.Time) error {
	whose := printable(e.Cert.Subject.String())
	switch e.Reason {
	case x509.Expired:
		return dateFault(e.Cert, now)
	case x509.IncompatibleUsage:
		return fmt.Errorf("%w: its extended key usage, or its authority's, leaves out serverAuth", ErrPurpose)
	case x509.NotAuthorizedToSign:
		return fmt.Errorf("%w: %q signed it and is not an authority", ErrUntrusted, whose)
	}
	return fmt.Errorf("%w: %s", ErrConstraint, printable(strings.TrimPrefix(e.Error(), "x509: ")))
}

// ownFault says why a certificate that the peer sent could not be part of a chain.
func ownFault(cert *x509.Certificate, leaf bool, now time.Time) error {
	whose := printable(cert.Subject.String())
	for _, oid := range cert.UnhandledCriticalExtensions {
		if !leaf || !oid.Equal(oidSubjectAltName) {
			return fmt.Errorf("%w: %q has the critical extension %s, which is not understood here", ErrConstraint, whose, nameOf(oid))
		}
	}
	if fault := dateFault(cert, now); fault != nil {
		return fault
	}
	if string(cert.RawIssuer) == string(cert.RawSubject) {
		return nil // nobody relies on the signature of a self-signed certificate
	}
	switch cert.SignatureAlgorithm {
	case x509.SHA1WithRSA, x509.ECDSAWithSHA1, x509.MD5WithRSA, x509.MD2WithRSA, x509.DSAWithSHA1, x509.DSAWithSHA256:
		return fmt.Errorf("%w: %q is signed with %s", ErrWeak, whose, cert.SignatureAlgorithm)
	}
	return nil
}

func nameOf(oid asn1.ObjectIdentifier) string {
	if oid.Equal(oidNameConstraints) {
		return "nameConstraints with a form that cannot be checked"
	}
	return oid.String()
}

// dateFault says that a certificate is out of its dates; nil when it is not.
func dateFault(cert *x509.Certificate, now time.Time) error {
	whose := printable(cert.Subject.String())
	switch {
	case now.After(cert.NotAfter):
		return fmt.Errorf("%w: %q on %s", ErrExpired, whose, cert.NotAfter.UTC().Format(time.DateTime))
	case now.Before(cert.NotBefore):
		return fmt.Errorf("%w: %q until %s; is the clock of this machine right?", ErrNotYetValid, whose, cert.NotBefore.UTC().Format(time.DateTime))
	}
	return nil
}

// nameFault says which names there are in place of the one that was wanted.
func nameFault(names []string, domain string) error {
	const shown = 5
	switch {
	case len(names) == 0:
		return fmt.Errorf("%w: %s was wanted, and its subjectAltName names no host (a common name does not count)", ErrName, domain)
	case len(names) > shown:
		return fmt.Errorf("%w: %s was wanted, it names %s and %d more", ErrName, domain, strings.Join(names[:shown], ", "), len(names)-shown)
	}
	return fmt.Errorf("%w: %s was wanted, it names %s", ErrName, domain, strings.Join(names, ", "))
}

// join puts two faults of one certificate on one line.
func join(first, second error) error {
	if first == nil {
		return second
	}
	return fmt.Errorf("%w; %w", first, second)
}

// isGraphic reports whether r may stand in a line of a log: bidirectional controls, which could rearrange it, may not.
func isGraphic(r rune) bool { return unicode.IsGraphic(r) && r != unicode.ReplacementChar }
