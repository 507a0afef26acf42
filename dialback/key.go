package dialback

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"strings"
)

// Challenge is what a key answers. The domains are in canonical form: U-labels, lower case, no final dot.
type Challenge struct {
	Receiving   string // the domain that is being called, and asks
	Originating string // the domain that the caller speaks for
	StreamID    string // made by the receiving server, in the newest header of the stream
}

// sound says whether c has one reading only: the parts are joined by spaces, so no domain may be empty or hold one. A key over
// parts without a boundary would be good for another pair as well (CVE-2016-0756).
func (c Challenge) sound() bool {
	return c.Receiving != "" && c.Originating != "" && c.StreamID != "" && !strings.Contains(c.Receiving+c.Originating, " ")
}

// Key returns the key for c: 64 lower-case hexadecimal digits (XEP-0185 §3). It is empty, and so good for nothing, for the zero
// Secret and for a challenge without an id or with a domain that is none.
func (s Secret) Key(c Challenge) string {
	if s.bytes == nil || !c.sound() {
		return ""
	}
	// The HMAC is keyed with the hexadecimal text of the hash, not with the 32 bytes themselves.
	digest := sha256.Sum256(s.bytes())
	mac := hmac.New(sha256.New, hex.AppendEncode(nil, digest[:]))
	mac.Write([]byte(c.Receiving + " " + c.Originating + " " + c.StreamID))
	return hex.EncodeToString(mac.Sum(nil))
}

// Verify says whether key is the key for c, in a time that does not depend on where it differs (CVE-2021-32921). White space
// around key does not count: some servers break the line there.
func (s Secret) Verify(c Challenge, key string) bool {
	want := s.Key(c)
	same := subtle.ConstantTimeCompare([]byte(want), []byte(trim(key)))
	return want != "" && same == 1
}

// trim takes away what XML calls white space, and nothing else: a key is opaque.
func trim(key string) string { return strings.Trim(key, " \t\r\n") }

// Secrets are the secret that keys are made with and the one before it, which still verifies while a new one spreads over all
// nodes and the streams of the old one are proved.
type Secrets struct{ Current, Previous Secret }

// Key returns the key that the current secret makes for c.
func (s Secrets) Key(c Challenge) string { return s.Current.Key(c) }

// Verify says whether key is the key that either secret makes for c.
func (s Secrets) Verify(c Challenge, key string) bool {
	current, previous := s.Current.Verify(c, key), s.Previous.Verify(c, key)
	return current || previous
}

// Derive derives both secrets for a purpose.
func (s Secrets) Derive(label string) Secrets {
	return Secrets{Current: s.Current.Derive(label), Previous: s.Previous.Derive(label)}
}
