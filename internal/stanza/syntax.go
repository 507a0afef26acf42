package stanza

import (
	"errors"
	"fmt"
	"io"
)

// ErrClosed says that the peer has closed its stream in order, with the end tag of the root.
var ErrClosed = errors.New("stream closed by peer")

// Stream error conditions that a SyntaxError carries (RFC 6120 §4.9.3).
const (
	badFormat           = "bad-format"           // well-formed, but no stream: text or stream tags where stanzas belong
	badNamespacePrefix  = "bad-namespace-prefix" // a prefix where there must be none
	invalidNamespace    = "invalid-namespace"    // a client's element on a server's stream
	notWellFormed       = "not-well-formed"      // by XML 1.0 or Namespaces in XML 1.0
	policyViolation     = "policy-violation"     // one of Limits
	restrictedXML       = "restricted-xml"       // comment, processing instruction, DTD, entity
	unsupportedEncoding = "unsupported-encoding" // not UTF-8
)

// A SyntaxError says why the stream cannot be read on. It is final: the Scanner returns it from then on.
type SyntaxError struct {
	Condition string // the stream error to answer with (RFC 6120 §4.9.3)
	TooBig    bool   // a policy-violation by Limits.Stanza; XEP-0205 §4.5 has a condition of its own to add
	Offset    int64  // bytes of the stream before the fault
	Detail    string // for the operator
}

func (e *SyntaxError) Error() string {
	return fmt.Sprintf("%s at byte %d: %s", e.Condition, e.Offset, e.Detail)
}

// errShort asks for more bytes than there are in the window.
var errShort = fmt.Errorf("scanning: %w", io.ErrShortBuffer)

// fault returns the SyntaxError for byte i of the element being scanned.
func (s *Scanner) fault(condition string, i int, detail string) error {
	return &SyntaxError{Condition: condition, Offset: s.base + int64(s.start+i), Detail: detail}
}
