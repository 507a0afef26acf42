package stream

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"sallyport/internal/jid"
	"sallyport/internal/stanza"
)

// Version is a stream's protocol version. The zero Version is that of a server which sends none: one of before RFC 3920.
type Version struct{ Major, Minor int }

// None says that no version was sent.
func (v Version) None() bool { return v == Version{} }

// parseVersion reads "1.0". Numbers are compared as numbers, and leading zeros do not count (RFC 6120 §4.7.5).
func parseVersion(s string) (Version, error) {
	major, minor, ok := strings.Cut(s, ".")
	a, errA := strconv.ParseUint(major, 10, 16)
	b, errB := strconv.ParseUint(minor, 10, 16)
	if !ok || errA != nil || errB != nil {
		return Version{}, fmt.Errorf("version %q is not of the form 1.0", clip(s))
	}
	return Version{int(a), int(b)}, nil
}

// Header is what a peer's stream header says.
type Header struct {
	From, To jid.Domain // zero where absent, or not a domain
	ID       string     // only of a response
	Lang     string     // xml:lang
	Version  Version
	Dialback bool // declares the namespace of dialback
	BadFrom  bool // there is a from, but it is not a domain
	BadTo    bool // there is a to, but it is not a domain
}

// readHeader reads and judges the peer's header ([C02], [C03], [C12]). The Header is of use even when there is an error: the
// answer to a bad header is addressed by it.
func readHeader(sc *stanza.Scanner) (Header, error) {
	root, err := sc.Header()
	if err != nil {
		return Header{}, scanned(err)
	}
	var h Header
	if s, ok := root.Attr("", "from"); ok && s != "" {
		h.From, err = jid.ParseDomain(s)
		h.BadFrom = err != nil
	}
	if s, ok := root.Attr("", "to"); ok && s != "" {
		h.To, err = jid.ParseDomain(s)
		h.BadTo = err != nil
	}
	h.ID, _ = root.Attr("", "id")
	h.Lang, _ = root.Attr("http://www.w3.org/XML/1998/namespace", "lang")
	h.Dialback = root.Declares(nsDB)
	if s, ok := root.Attr("", "version"); ok {
		if h.Version, err = parseVersion(s); err != nil {
			return h, &Error{Condition: UnsupportedVersion, Err: err}
		}
	}
	switch {
	case root.Space != nsStream:
		return h, &Error{Condition: InvalidNamespace, Err: fmt.Errorf("the root element is in namespace %q", clip(root.Space))}
	case root.Local != "stream":
		return h, &Error{Condition: BadFormat, Err: fmt.Errorf("the root element is %q", clip(root.Local))}
	case !root.Declares(nsServer) && root.DefaultNS != "" && root.DefaultNS != nsStream:
		return h, &Error{Condition: InvalidNamespace, Err: fmt.Errorf("the content namespace is %q", clip(root.DefaultNS))}
	case len(h.ID) > maxID:
		return h, &Error{Condition: InvalidXML, Err: errors.New("the stream id is longer than any key is made over")}
	}
	return h, nil
}

// maxID is the longest stream id that we take from a peer, in bytes: it goes into keys and questions.
const maxID = 1024

// appendHeader writes our own header. The prefixes are those that old servers match by letter ([C04], [L01], [B22]).
func appendHeader(dst []byte, from, to, id, lang string, versioned bool) []byte {
	dst = append(dst, "<?xml version='1.0'?><stream:stream xmlns='"+nsServer+"' xmlns:db='"+nsDB+"' xmlns:stream='"+nsStream+"'"...)
	attr := func(name, value string) {
		if value != "" {
			dst = append(dst, ' ')
			dst = append(dst, name...)
			dst = append(dst, "='"...)
			dst = stanza.AppendAttr(dst, value)
			dst = append(dst, '\'')
		}
	}
	attr("from", from)
	attr("to", to)
	attr("id", id)
	attr("xml:lang", lang)
	if versioned {
		dst = append(dst, " version='1.0'"...)
	}
	return append(dst, '>')
}

// NewID makes a stream id: 128 bits of crypto/rand as hexadecimal digits, which every server takes for a name token ([C09]).
func NewID() string {
	var b [16]byte
	rand.Read(b[:]) // ends the process where there is no random source
	return hex.EncodeToString(b[:])
}
