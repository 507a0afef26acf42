package certs

import (
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"time"
)

// How long a POSH document may be believed, whatever it says itself.
const (
	minPOSH = time.Minute
	maxPOSH = 24 * time.Hour
)

// Fingerprint is one certificate of a POSH document: hashes of its DER form, SHA-256 or SHA-512 or both (RFC 7711 §3.1).
type Fingerprint struct {
	SHA256, SHA512 []byte
}

// matches reports whether every hash that is given is cert's; one without hashes matches nothing.
func (f Fingerprint) matches(cert *x509.Certificate) bool {
	if f.SHA256 == nil && f.SHA512 == nil {
		return false
	}
	short, long := sha256.Sum256(cert.Raw), sha512.Sum512(cert.Raw)
	return (f.SHA256 == nil || slices.Equal(f.SHA256, short[:])) && (f.SHA512 == nil || slices.Equal(f.SHA512, long[:]))
}

// POSH is what https://domain/.well-known/posh/xmpp-server.json says: either certificates, or where they are listed (RFC 7711 §3).
type POSH struct {
	Fingerprints []Fingerprint
	URL          string // of the document that has the fingerprints; empty in that one
	Life         time.Duration
}

var errPOSH = errors.New("malformed POSH document")

// ParsePOSH reads a POSH document. Its error says in one line what is wrong with it. Hashes of a kind that is not known are passed
// over, and a certificate with no other is left out.
func ParsePOSH(document []byte) (POSH, error) {
	var raw struct {
		Fingerprints []map[string]string `json:"fingerprints"`
		URL          string              `json:"url"`
		Expires      float64             `json:"expires"`
	}
	if err := json.Unmarshal(document, &raw); err != nil {
		return POSH{}, fmt.Errorf("%w: %w", errPOSH, err)
	}
	p := POSH{URL: raw.URL, Life: minPOSH}
	if raw.Expires > 0 {
		p.Life = min(max(time.Duration(min(raw.Expires, maxPOSH.Seconds()))*time.Second, minPOSH), maxPOSH)
	}
	if raw.URL != "" {
		if to, err := url.Parse(raw.URL); err != nil || to.Scheme != "https" || to.Host == "" || len(raw.Fingerprints) > 0 {
			return POSH{}, fmt.Errorf("%w: its url must be an https address, and stand alone", errPOSH)
		}
		return p, nil
	}
	for _, hashes := range raw.Fingerprints {
		f, err := fingerprint(hashes)
		if err != nil {
			return POSH{}, err
		}
		if f.SHA256 != nil || f.SHA512 != nil {
			p.Fingerprints = append(p.Fingerprints, f)
		}
	}
	if len(p.Fingerprints) == 0 {
		return POSH{}, fmt.Errorf("%w: no fingerprint by SHA-256 or SHA-512", errPOSH)
	}
	return p, nil
}

func fingerprint(hashes map[string]string) (f Fingerprint, err error) {
	for name, into := range map[string]struct {
		sum  *[]byte
		size int
	}{"sha-256": {&f.SHA256, sha256.Size}, "sha-512": {&f.SHA512, sha512.Size}} {
		text, ok := hashes[name]
		if !ok {
			continue
		}
		sum, err := base64.StdEncoding.DecodeString(text)
		if err != nil || len(sum) != into.size {
			return Fingerprint{}, fmt.Errorf("%w: a %s fingerprint is not %d bytes in base64", errPOSH, name, into.size)
		}
		*into.sum = sum
	}
	return f, nil
}

// VerifyPOSH judges a chain by the fingerprints that the domain itself published over HTTPS. They stand for the leaf's names and its
// authority (RFC 7711 §5), not for its dates.
func (v *Verifier) VerifyPOSH(chain []*x509.Certificate, published []Fingerprint) (result Result) {
	defer contain(&result)
	if err := presentable(chain); err != nil {
		return Result{Err: err}
	}
	leaf := chain[0]
	r := describe(leaf)
	if ids, err := v.identities(leaf); err == nil {
		r.Names = namesOf(ids)
	}
	switch {
	case !slices.ContainsFunc(published, func(f Fingerprint) bool { return f.matches(leaf) }):
		r.Err = ErrPOSH
	case keyFault(leaf.PublicKey) != "":
		r.Err = fmt.Errorf("%w: %s", ErrWeak, keyFault(leaf.PublicKey))
	default:
		r.Err = dateFault(leaf, time.Now())
	}
	if r.Err == nil {
		r.Proved, r.Proof, r.MatchedBy, r.notBefore = true, ProofPOSH, "POSH", leaf.NotBefore
	}
	return r
}

// POSHDocument is what a domain that shows these certificates would publish, to be believed for life (RFC 7711 §3.1).
func POSHDocument(leaves []*x509.Certificate, life time.Duration) []byte {
	type hashes map[string]string
	document := struct {
		Fingerprints []hashes `json:"fingerprints"`
		Expires      int64    `json:"expires"`
	}{Expires: int64(life / time.Second)}
	for _, leaf := range leaves {
		short, long := sha256.Sum256(leaf.Raw), sha512.Sum512(leaf.Raw)
		document.Fingerprints = append(document.Fingerprints, hashes{
			"sha-256": base64.StdEncoding.EncodeToString(short[:]), "sha-512": base64.StdEncoding.EncodeToString(long[:])})
	}
	text, err := json.Marshal(document)
	if err != nil {
		panic(err) // strings and a number
	}
	return text
}
