package stanza

import "unicode/utf8"

// Rewrite is what is to change in a stanza on its way through. An empty field changes nothing.
type Rewrite struct {
	From, To string // addresses in canonical form, to stand in place of what the stanza spells
	Lang     string // xml:lang of the stream that the stanza came by, for a stanza that has none of its own (RFC 6120 §4.7.4)
}

// AppendTo appends e as it is to leave on a stream of ours, whose default namespace is jabber:server. Where nothing has to change and
// Verbatim holds, that is Raw. Where only the start tag has to, the rest is copied; what is unclean is written anew from its tokens.
func (e *Element) AppendTo(dst []byte, o Rewrite) []byte {
	r := rewriting{e: e, want: [recorded]string{from: o.From, to: o.To}}
	for i, v := range e.values[:to+1] {
		want := r.want[i]
		r.replace[i] = want != "" && v.from != 0 && (v.decode || want != string(v.of(e.raw)))
		r.insert[i] = want != "" && v.from == 0
	}
	r.want[lang] = o.Lang
	r.insert[lang] = o.Lang != "" && e.values[lang].from == 0
	switch {
	case e.unclean:
		return r.anew(dst)
	case e.Verbatim() && r.replace == [recorded]bool{} && r.insert == [recorded]bool{}:
		return append(dst, e.raw...)
	}
	return r.splice(dst)
}

// rewriting is one element on its way out.
type rewriting struct {
	e       *Element
	want    [recorded]string
	replace [recorded]bool // the attribute is there and gets want as its value
	insert  [recorded]bool // it is not there and is added
}

// splice copies the element, with the start tag changed.
func (r *rewriting) splice(dst []byte) []byte {
	e := r.e
	at := e.name.to
	dst = append(dst, e.raw[:at]...)
	dst = r.additions(dst)
	first, second := from, to
	if e.values[to].from < e.values[from].from {
		first, second = to, from
	}
	for _, i := range [...]int{first, second} {
		if r.replace[i] {
			dst = append(dst, e.raw[at:e.values[i].from]...)
			dst = AppendAttr(dst, r.want[i])
			at = e.values[i].to
		}
	}
	return append(dst, e.raw[at:]...)
}

// additions appends what the start tag lacks: the declarations that only the peer's header makes ([C06]), addresses, language.
func (r *rewriting) additions(dst []byte) []byte {
	e := r.e
	if e.foreignDefault() {
		dst = appendAttribute(dst, "xmlns", e.root.DefaultNS)
	}
	for i := range e.root.declared {
		if e.borrowed&(1<<i) != 0 {
			d := &e.root.declared[i]
			dst = append(dst, " xmlns:"...)
			dst = append(dst, d.prefix...)
			dst = appendQuoted(dst, d.uri)
		}
	}
	for i, name := range [...]string{from: "from", to: "to", lang: "xml:lang"} {
		if r.insert[i] {
			dst = appendAttribute(dst, name, r.want[i])
		}
	}
	return dst
}

// anew writes the element from its tokens: prefixes and the order of attributes are kept, all else is normalised.
func (r *rewriting) anew(dst []byte) []byte {
	in := reader{b: r.e.raw}
	first := true
	var scratch []byte
	for t, ok := in.next(); ok; t, ok = in.next() {
		switch t.kind {
		case textToken, cdataToken:
			scratch = appendCharacters(scratch[:0], t.text, t.kind == cdataToken)
			dst = appendEscaped(dst, scratch, false)
		case endToken:
			dst = append(dst, "</"...)
			dst = append(dst, t.name...)
			dst = append(dst, '>')
		case startToken:
			dst = append(dst, '<')
			dst = append(dst, t.name...)
			if first {
				dst = r.additions(dst)
			}
			for name, raw := range t.attributes() {
				dst = append(dst, ' ')
				dst = append(dst, name...)
				if i := addressed(name); first && i >= 0 && r.replace[i] {
					dst = appendQuoted(dst, r.want[i])
					continue
				}
				scratch = appendValue(scratch[:0], raw)
				dst = appendQuoted(dst, scratch)
			}
			if t.empty {
				dst = append(dst, '/')
			}
			dst = append(dst, '>')
			first = false
		}
	}
	return dst
}

// addressed returns which of the replaceable attributes a name is; -1 for none.
func addressed(name []byte) int {
	switch string(name) {
	case "from":
		return from
	case "to":
		return to
	}
	return -1
}

// appendAttribute appends ` name='value'`.
func appendAttribute(dst []byte, name, value string) []byte {
	dst = append(dst, ' ')
	dst = append(dst, name...)
	return appendQuoted(dst, value)
}

func appendQuoted[T string | []byte](dst []byte, value T) []byte {
	dst = append(dst, '=', '\'')
	dst = appendEscaped(dst, value, true)
	return append(dst, '\'')
}

// AppendText appends s as character data. A carriage return is written as a reference, or it would read as a line feed; what XML
// forbids in any form, and what is not UTF-8, becomes U+FFFD.
func AppendText(dst []byte, s string) []byte { return appendEscaped(dst, s, false) }

// AppendAttr is AppendText for an attribute's value in quotes of either kind.
func AppendAttr(dst []byte, s string) []byte { return appendEscaped(dst, s, true) }

func appendEscaped[T string | []byte](dst []byte, s T, attribute bool) []byte {
	done := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c > '>' && c < utf8.RuneSelf || c > '\'' && c < '<' {
			i++
			continue
		}
		replacement, n := "", 1
		if c < utf8.RuneSelf {
			replacement = escape(c, attribute)
		} else if n = runeLen(s[i:]); n <= 0 {
			replacement, n = "\uFFFD", 1 // each further byte of a bad sequence is one more
		}
		if replacement != "" {
			dst = append(dst, s[done:i]...)
			dst = append(dst, replacement...)
			done = i + n
		}
		i += n
	}
	return append(dst, s[done:]...)
}

// escape returns how an ASCII character is written when it cannot stand for itself.
func escape(c byte, attribute bool) string {
	switch c {
	case '<':
		return "&lt;"
	case '>':
		return "&gt;"
	case '&':
		return "&amp;"
	case '\r':
		return "&#xD;"
	}
	switch {
	case c == '\t' && attribute:
		return "&#x9;"
	case c == '\n' && attribute:
		return "&#xA;"
	case c == '\'' && attribute:
		return "&apos;"
	case c == '"' && attribute:
		return "&quot;"
	case c < ' ' && c != '\t' && c != '\n':
		return "\uFFFD"
	}
	return ""
}
