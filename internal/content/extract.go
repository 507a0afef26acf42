package content

import (
	"net/url"
	"slices"
	"strings"

	"sallyport/internal/jid"
	"sallyport/internal/stanza"
)

// Words are what people read in a stanza, and whom and what it names. All texts are in Unicode's form NFKC without invisible
// characters, so that a rule is not passed by spelling: full-width digits are digits, and nothing hides within a word.
type Words struct {
	HasBody       bool
	Body, Subject string   // of all languages, one after the other
	Text          string   // all of it, wherever it stands, a piece a line
	Pieces        []string // those of Text; a piece may hold lines of its own
	URLs          []string // sorted
	JIDs          []string // bare, canonical, sorted; not those that the stanza is from and to
}

// Extract reads the words of a stanza.
func Extract(el *stanza.Element) Words {
	x := extraction{urls: map[string]bool{}, jids: map[string]bool{}}
	top := el.Tree()
	x.piece(Plain(top.Text)) // where nothing belongs
	for _, child := range top.Children {
		x.core(child, x.into(child, false))
	}
	x.Body, x.Subject, x.Text = strings.Join(x.body, "\n"), strings.Join(x.subject, "\n"), strings.Join(x.Pieces, "\n")
	x.addresses(x.Text)
	x.URLs, x.JIDs = keys(x.urls), keys(x.jids)
	return x.Words
}

type extraction struct {
	Words
	body, subject []string
	line, shorter strings.Builder // of XHTML, as far as it is read; and without what is not XHTML
	beside        []string        // what its attributes say
	urls          map[string]bool
	jids          map[string]bool
}

// core takes the texts that a message itself has. Each language's counts, and each namespace's: a rule must not be passed by writing in a
// second one, and there are clients that look for a body by its name alone.
func (x *extraction) core(n *stanza.Node, texts []string) {
	switch n.Local {
	case "body":
		x.HasBody = true
		x.body = append(x.body, texts...)
	case "subject":
		x.subject = append(x.subject, texts...)
	}
}

// readings are how programs may read the text of an element: without the elements that do not belong in it, or through them.
func readings(n *stanza.Node) []string {
	own := Plain(n.Text)
	if len(n.Children) == 0 {
		return []string{own}
	}
	var b strings.Builder
	through(&b, n)
	if whole := Plain(b.String()); whole != own {
		return []string{own, whole}
	}
	return []string{own}
}

// through writes all text in n, in the order of the document.
func through(b *strings.Builder, n *stanza.Node) {
	at := 0
	for _, c := range n.Children {
		b.WriteString(n.Text[at:c.At])
		at = c.At
		through(b, c)
	}
	b.WriteString(n.Text[at:])
}

// into goes through an element and all that is in it, and returns how its own text reads. What is within a body, or the like, was read
// through already.
func (x *extraction) into(n *stanza.Node, within bool) (texts []string) {
	switch {
	case opaque(n):
		return nil
	case Markup(n.Space):
		x.markup(n, false)
		x.endLine()
		return nil
	case !within && Shown(n.Local):
		within, texts = true, readings(n)
	default:
		texts = []string{Plain(n.Text)}
	}
	for _, text := range texts {
		x.piece(text)
	}
	x.address(n.Local, strings.TrimSpace(texts[0]))
	for _, a := range n.Attrs {
		x.piece(x.attribute(a))
	}
	for _, child := range n.Children {
		x.into(child, within)
	}
	return texts
}

// Shown tells the elements whose text programs show. Not all of them look at the namespace.
func Shown(local string) bool { return local == "body" || local == "subject" || local == "status" }

// Markup tells the namespaces of XHTML, and of the envelope that it comes in (XEP-0071): there are programs that show what is in that,
// whatever it is.
func Markup(space string) bool { return space == nsXHTML || space == nsXHTMLIM }

// markup goes through XHTML in the order of the document: words are not cut where a part of them is marked. An element that nobody knows is
// shown as if it were not there (XEP-0071 §8), or not at all, or as what it is called: each is judged.
func (x *extraction) markup(n *stanza.Node, foreign bool) {
	foreign = foreign || !Markup(n.Space)
	ends := Markup(n.Space) && EndsLine(n.Local)
	if ends {
		x.endLine()
	}
	if !Markup(n.Space) {
		x.beside = append(x.beside, Plain(n.Text))
	}
	x.address(n.Local, strings.TrimSpace(Plain(n.Text)))
	for _, a := range n.Attrs {
		x.beside = append(x.beside, x.attribute(a))
	}
	at := 0
	for _, c := range n.Children {
		x.write(n.Text[at:c.At], foreign)
		at = c.At
		x.markup(c, foreign)
	}
	x.write(n.Text[at:], foreign)
	if ends {
		x.endLine()
	}
}

func (x *extraction) write(text string, foreign bool) {
	x.line.WriteString(text)
	if !foreign {
		x.shorter.WriteString(text)
	}
}

func (x *extraction) endLine() {
	x.piece(Plain(x.line.String()))
	if x.shorter.Len() < x.line.Len() {
		x.piece(Plain(x.shorter.String()))
	}
	for _, text := range x.beside {
		x.piece(text)
	}
	x.line.Reset()
	x.shorter.Reset()
	x.beside = x.beside[:0]
}

func (x *extraction) piece(text string) {
	if strings.TrimSpace(text) != "" {
		x.Pieces = append(x.Pieces, text)
	}
}

// opaque tells what nobody can read: ciphers, keys, and the bytes of files.
func opaque(n *stanza.Node) bool {
	m, _ := of([]byte(n.Space))
	switch {
	case n.Local == "BINVAL" && m.special == isVCard, n.Local == "data" && (m.class&(FileInband|File) != 0):
		return true
	case m.special == isOMEMO, m.special == isOpenPGP, m.class&OpenPGP != 0, n.Space == "jabber:x:signed":
		return true
	}
	return false
}

// block are the elements of XHTML that end a line.
var block = map[string]bool{"p": true, "div": true, "br": true, "hr": true, "ul": true, "ol": true, "li": true, "dl": true, "dt": true, "dd": true,
	"table": true, "tr": true, "td": true, "th": true, "blockquote": true, "pre": true,
	"h1": true, "h2": true, "h3": true, "h4": true, "h5": true, "h6": true}

// EndsLine tells whether an element of XHTML ends a line, and with it a word.
func EndsLine(local string) bool { return block[local] }

// attribute takes the addresses in an attribute, and returns what is written there for people.
func (x *extraction) attribute(a stanza.Attr) (text string) {
	value := Plain(a.Value)
	if strings.Contains(value, ":") {
		x.links(value)
	}
	x.address(a.Local, value)
	if prose[a.Local] {
		return value
	}
	return ""
}

// prose are the attributes that people read.
var prose = map[string]bool{"reason": true, "name": true, "title": true, "desc": true, "description": true, "label": true, "subject": true, "text": true,
	"value": true, "alt": true, "topic": true, "summary": true, "nick": true, "url": true, "uri": true, "href": true, "src": true}

// address takes an address of a person, a room or a domain. What has an @ is taken for one wherever it parses as one; a domain only
// where the name says so.
func (x *extraction) address(name, value string) {
	value = strings.TrimSpace(value)
	if rest, ok := cutPrefixFold(value, "xmpp:"); ok {
		x.uri(rest)
	} else if strings.Contains(value, "@") || addressed[name] {
		x.bare(value)
	}
}

// uri takes the addresses that an xmpp: URI names: whose it is, and as whom one is to turn to it (RFC 5122 §2.2).
func (x *extraction) uri(rest string) {
	if i := strings.IndexAny(rest, "?#"); i >= 0 {
		rest = rest[:i]
	}
	if authority, ok := strings.CutPrefix(rest, "//"); ok {
		as, whose, _ := strings.Cut(authority, "/")
		x.bare(unescaped(as))
		rest = whose
	}
	if rest != "" {
		x.bare(unescaped(rest))
	}
}

func unescaped(s string) string {
	if plain, err := url.PathUnescape(s); err == nil {
		return Plain(plain)
	}
	return s
}

// bare takes an address. Whoever reads it may be less strict about its resource than we are.
func (x *extraction) bare(value string) {
	value, _, _ = strings.Cut(value, "/")
	if j, err := jid.Parse(value); err == nil {
		x.jids[j.Bare().String()] = true
	}
}

var addressed = map[string]bool{"jid": true, "from": true, "to": true, "by": true, "initiator": true, "responder": true, "sender": true, "ofrom": true, "JABBERID": true}

func cutPrefixFold(s, prefix string) (string, bool) {
	if len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix) {
		return s[len(prefix):], true
	}
	return s, false
}

func keys(set map[string]bool) []string {
	if len(set) == 0 {
		return nil
	}
	list := make([]string, 0, len(set))
	for k := range set {
		list = append(list, k)
	}
	slices.Sort(list)
	return list
}
