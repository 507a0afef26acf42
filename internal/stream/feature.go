package stream

import (
	"strings"

	"sallyport/internal/stanza"
)

const (
	nsTLS             = "urn:ietf:params:xml:ns:xmpp-tls"
	nsSASL            = "urn:ietf:params:xml:ns:xmpp-sasl"
	nsDialbackFeature = "urn:xmpp:features:dialback"
)

// AppendStartTLSFeature offers TLS; required says that nothing else will do (RFC 6120 §5.4.1).
func AppendStartTLSFeature(dst []byte, required bool) []byte {
	if required {
		return append(dst, "<starttls xmlns='"+nsTLS+"'><required/></starttls>"...)
	}
	return append(dst, "<starttls xmlns='"+nsTLS+"'/>"...)
}

// AppendDialbackFeature offers dialback; errors says that a pair which fails does not end the stream (XEP-0220 §2.4.2).
func AppendDialbackFeature(dst []byte, errors bool) []byte {
	if errors {
		return append(dst, "<dialback xmlns='"+nsDialbackFeature+"'><errors/></dialback>"...)
	}
	return append(dst, "<dialback xmlns='"+nsDialbackFeature+"'/>"...)
}

// AppendExternalFeature offers SASL EXTERNAL. Do so only where it would succeed ([S01]).
func AppendExternalFeature(dst []byte) []byte {
	return append(dst, "<mechanisms xmlns='"+nsSASL+"'><mechanism>EXTERNAL</mechanism></mechanisms>"...)
}

// Features returns what the peer offered last; nil if that was nothing, as with old servers, or if the peer called us.
func (s *Stream) Features() *stanza.Node { return s.now.Load().features }

// feature returns an offered feature, nil if it is not offered.
func (s *Stream) feature(space, local string) *stanza.Node {
	if all := s.Features(); all != nil {
		return all.Child(space, local)
	}
	return nil
}

// FeatureStartTLS says whether the peer offers TLS, and whether it insists.
func (s *Stream) FeatureStartTLS() (offered, required bool) {
	n := s.feature(nsTLS, "starttls")
	return n != nil, n != nil && n.Child(nsTLS, "required") != nil
}

// FeatureDialback says whether the peer offers dialback in its features. Old servers only declare its namespace: see
// Header.Dialback.
func (s *Stream) FeatureDialback() bool { return s.feature(nsDialbackFeature, "dialback") != nil }

// FeatureDialbackErrors says whether a pair that fails leaves the peer's stream open.
func (s *Stream) FeatureDialbackErrors() bool {
	n := s.feature(nsDialbackFeature, "dialback")
	return n != nil && n.Child(nsDialbackFeature, "errors") != nil
}

// FeatureExternal says whether the peer offers SASL EXTERNAL.
func (s *Stream) FeatureExternal() bool {
	n := s.feature(nsSASL, "mechanisms")
	if n == nil {
		return false
	}
	for _, m := range n.Children {
		if m.Space == nsSASL && m.Local == "mechanism" && strings.TrimSpace(m.Text) == "EXTERNAL" {
			return true
		}
	}
	return false
}
