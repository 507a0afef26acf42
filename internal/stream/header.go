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

// Version is a stream's protocol version. The zero Version is that of a server which sends none.
type Version struct{ Major, Minor int }

// modern says whether the peer knows versions, and with them features, TLS and SASL (RFC 6120 §4.7.5). Numbers are compared as
// numbers. Whatever it is above 1.0, 1.0 is what we both speak.
func (v Version) modern() bool { return v.Major >= 1 }

func parseVersion(s string) (Version, error) {
	major, minor, found := strings.Cut(s, ".")
	a, errMajor := strconv.ParseUint(major, 10, 16)
	b, errMinor := strconv.ParseUint(minor, 10, 16)
	if !found || errMajor != nil || errMinor != nil {
		return Version{}, fmt.Errorf("version %q is not of the form 1.0", clip(s))
	}
	return Version{Major: int(a), Minor: int(b)}, nil
}

// Header is what a peer's stream header says. Nothing of it is proved.
type Header struct {
	From, To jid.Domain // zero when absent, empty, or not a domain
	ID       string     // of a response; in a request it means nothing ([C09])
	Lang     string     // xml:lang, which stanzas without their own inherit
	Version  Version
	Dialback bool // the namespace of dialback is declared, which offers it (XEP-0220 §2.4.1)
	BadFrom  bool // there is a from that is not a domain
	BadTo    bool // there is a to that is not a domain
}

// maxID is the longest stream id that is taken from a peer, in bytes: it goes into keys and questions.
const maxID = 1024

// readHeader reads the peer's header and holds it to what every header must be. The Header is of use even with an error, for the
// answer goes by it; a peer whose version cannot be read is then taken for a server of today.
func readHeader(sc *stanza.Scanner, strict bool) (Header, error) {
	root, err := sc.Header()
	if err != nil {
		return Header{Version: Version{Major: 1}}, faulty(err)
	}
	h := Header{Dialback: root.Declares(nsDialback)}
	h.From, h.BadFrom = domainAttr(root, "from")
	h.To, h.BadTo = domainAttr(root, "to")
	h.ID, _ = root.Attr("", "id")
	h.Lang, _ = root.Attr("http://www.w3.org/XML/1998/namespace", "lang")
	if s, ok := root.Attr("", "version"); ok {
		if h.Version, err = parseVersion(s); err != nil {
			h.Version.Major = 1
			return h, &Error{Condition: UnsupportedVersion, Err: err}
		}
	}
	return h, check(root, h, strict)
}

// domainAttr reads an attribute that names a domain; bad says that it names something else. Old servers leave them empty.
func domainAttr(root *stanza.Root, name string) (d jid.Domain, bad bool) {
	s, _ := root.Attr("", name)
	if s == "" {
		return jid.Domain{}, false
	}
	d, err := jid.ParseDomain(s)
	return d, err != nil
}

// check holds a header to the two namespaces (RFC 6120 §4.8), whatever the prefixes, and to addresses that are domains.
func check(root *stanza.Root, h Header, strict bool) error {
	switch {
	case root.Space != nsStream:
		return &Error{Condition: InvalidNamespace, Err: fmt.Errorf("the root element is of namespace %q", clip(root.Space))}
	case root.Local != "stream":
		return &Error{Condition: BadFormat, Err: fmt.Errorf("the root element is %q", clip(root.Local))}
	case !contentNamespace(root, strict):
		return &Error{Condition: InvalidNamespace, Err: fmt.Errorf("the content namespace is %q", clip(root.DefaultNS))}
	case h.BadFrom, h.BadTo:
		return &Error{Condition: ImproperAddressing, Err: errors.New("from or to of the stream header is not a domain")}
	case len(h.ID) > maxID:
		return &Error{Condition: InvalidXML, Err: fmt.Errorf("the stream id has %d bytes", len(h.ID))}
	}
	return nil
}

// contentNamespace says whether what the stream is to carry is of jabber:server ([C03], [C04]). A header whose own namespace is the
// default leaves it to each element, and an old server may have forgotten it.
func contentNamespace(root *stanza.Root, strict bool) bool {
	switch root.DefaultNS {
	case nsServer, nsStream:
		return true
	case "":
		return !strict || root.Declares(nsServer)
	}
	return false
}

// opening is what a header of ours says.
type opening struct {
	from, to jid.Domain
	id, lang string
	modern   bool // with a version
}

// appendTo writes the header. Prefixes and quotes are those that old servers match by their letters ([C04], [L01], [B22]).
func (o opening) appendTo(dst []byte) []byte {
	dst = append(dst, "<?xml version='1.0'?><stream:stream xmlns='"+nsServer+"' xmlns:db='"+nsDialback+"' xmlns:stream='"+nsStream+"'"...)
	for _, a := range [...]struct{ name, value string }{{"from", o.from.String()}, {"to", o.to.String()}, {"id", o.id}, {"xml:lang", o.lang}} {
		if a.value != "" {
			dst = append(append(append(dst, ' '), a.name...), "='"...)
			dst = append(stanza.AppendAttr(dst, a.value), '\'')
		}
	}
	if o.modern {
		dst = append(dst, " version='1.0'"...)
	}
	return append(dst, '>')
}

// NewID makes a stream id: 128 bits of crypto/rand in hexadecimal, which every server takes for a name token ([C09]).
func NewID() string {
	var b [16]byte
	rand.Read(b[:]) // ends the process where there is no random source; it returns no error
	return hex.EncodeToString(b[:])
}
