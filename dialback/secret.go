package dialback

import (
	"bytes"
	"crypto/hkdf"
	"crypto/sha256"
	"fmt"
	"io"
	"log/slog"
)

const (
	// minSecret is the shortest secret that is accepted. An operator may have chosen it to share it with other nodes.
	minSecret = 16
	// maxSecret bounds what is read from a file.
	maxSecret = 4 << 10
	// generated is the size of the secrets that we make ourselves.
	generated = 32
)

// Secret is what keys are made with. Whoever has it can speak for all our domains, so it can be neither printed nor compared:
// each way of formatting it says "redacted", and == does not compile. Copies of a Secret are the same secret.
//
// The zero Secret makes no key and verifies none.
type Secret struct {
	// bytes gives the secret. A function, because fmt prints the unexported fields of an enclosing struct without asking for
	// methods, and through pointers; it cannot look into a function. Nor does == compile for one.
	bytes func() []byte
}

// NewSecret takes a secret of at least 16 bytes. It keeps a copy.
func NewSecret(raw []byte) (Secret, error) {
	switch {
	case len(raw) < minSecret:
		return Secret{}, fmt.Errorf("dialback secret has %d bytes, it needs at least %d", len(raw), minSecret)
	case len(raw) > maxSecret:
		return Secret{}, fmt.Errorf("dialback secret has more than %d bytes", maxSecret)
	}
	return secretOf(raw), nil
}

func secretOf(raw []byte) Secret {
	kept := bytes.Clone(raw)
	return Secret{bytes: func() []byte { return kept }}
}

// IsZero says whether s is the zero Secret.
func (s Secret) IsZero() bool { return s.bytes == nil }

// Derive makes another secret for a purpose (RFC 5869 §2). Nothing can be learnt from one about its siblings or about s, so a
// key that was made with it means nothing where another purpose's secret is used.
func (s Secret) Derive(label string) Secret {
	if s.bytes == nil {
		return Secret{}
	}
	derived, err := hkdf.Key(sha256.New, s.bytes(), nil, "sallyport dialback "+label, generated)
	if err != nil { // only for lengths that generated is not
		return Secret{}
	}
	return secretOf(derived)
}

const redacted = "redacted"

// String returns "redacted".
func (Secret) String() string { return redacted }

// GoString returns "redacted".
func (Secret) GoString() string { return redacted }

// Format writes "redacted", whatever the verb.
func (Secret) Format(f fmt.State, _ rune) { io.WriteString(f, redacted) }

// LogValue returns "redacted".
func (Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText returns "redacted", for JSON and YAML as well.
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }
