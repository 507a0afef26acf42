package stanza

import (
	"bytes"
	"unicode/utf8"
)

// attr is an attribute of the start tag in hand.
type attr struct {
	name  name
	value value
	space uint64 // sum of its namespace, once resolved; 0 without prefix
}

// frame is an open element.
type frame struct {
	name  name
	bound int32 // len(Scanner.bound) outside of it
	space known // the default namespace within it
}

// startTag scans on in a start tag.
func (s *Scanner) startTag(w []byte) error {
	for s.pos < len(w) && s.state >= inName {
		var err error
		switch s.state {
		case inName, inAttr:
			err = s.tagName(w)
		case inTag, afterTag:
			err = s.inside(w)
		case inValue:
			err = s.value(w)
		case atEquals, atQuote:
			err = s.equals(w)
		case atSlash:
			if w[s.pos] != '>' {
				return s.fault(notWellFormed, s.pos, "'/' within a tag")
			}
			s.pos++
			return s.open(w, true)
		default:
			return nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// tagName scans on in the name of the element or of an attribute.
func (s *Scanner) tagName(w []byte) error {
	i, err := s.passName(w, s.pos)
	s.pos = i
	if err != nil || i == len(w) {
		return err
	}
	n := s.takeName(i)
	if s.state == inName {
		s.name, s.state = n, inTag
		return nil
	}
	s.attrs = append(s.attrs, attr{name: n})
	s.state = atEquals
	s.note(w, n)
	return nil
}

// note remembers of the name of an attribute whether there is more to do for it than to store it.
func (s *Scanner) note(w []byte, n name) {
	switch prefix := n.prefix(w); {
	case prefix == nil:
		s.declares = s.declares || string(n.of(w)) == "xmlns"
	case string(prefix) == "xmlns":
		s.declares = true
	case string(prefix) != "xml":
		s.prefixed++
	}
}

// inside scans what may stand in a start tag besides names and values: white space, and the tag's end.
func (s *Scanner) inside(w []byte) error {
	for i := s.pos; i < len(w); {
		s.pos = i
		switch c := w[i]; {
		case isSpace(c):
			s.state = afterTag
			if c == '\r' {
				s.current.unclean = true
			}
			i++
		case c == '>':
			s.pos++
			return s.open(w, false)
		case c == '/':
			s.pos++
			s.state = atSlash
			return nil
		case s.state == inTag:
			return s.unexpected(w, i, "no white space before an attribute")
		case len(s.attrs) >= s.limits.Attributes:
			return s.fault(policyViolation, i, "too many attributes")
		default:
			next := s.plainAttr(w, i)
			if next == 0 {
				s.mark, s.colon, s.state = i, 0, inAttr
				return nil
			}
			i, s.state = next, inTag
		}
	}
	s.pos = len(w)
	return nil
}

// plainAttr is the short way through an attribute that is all there and holds nothing special, as most are: a name in lower-case
// letters, the equals sign, a value in plain ASCII. It returns the index behind it. For any other attribute it returns 0 and has done
// nothing; the steps of the long way then judge it.
func (s *Scanner) plainAttr(w []byte, i int) int {
	n, equals := plainName(w, i)
	if equals == i || equals-i > s.limits.Name || equals+1 >= len(w) || w[equals] != '=' {
		return 0
	}
	quote, begin := w[equals+1], equals+2
	if quote != '\'' && quote != '"' {
		return 0
	}
	end := skipValue(w, begin, quote)
	s.work += int64(end - i)
	if end == len(w) || w[end] != quote {
		return 0
	}
	s.attrs = append(s.attrs, attr{name: n, value: value{span: span{int32(begin), int32(end)}}})
	s.note(w, n)
	return end + 1
}

// plainTag is the short way through the name of a start tag, which begins at i. It returns the index behind it, or 0 for the long way.
func (s *Scanner) plainTag(w []byte, i int) int {
	n, end := plainName(w, i)
	if end == i || end-i > s.limits.Name || end == len(w) || w[end] != ' ' && w[end] != '>' && w[end] != '/' {
		return 0
	}
	s.work += int64(end - i)
	s.name = n
	return end
}

// plainName reads a name in lower-case letters, with or without prefix in such. It is empty if one of its parts would be.
func plainName(w []byte, i int) (n name, end int) {
	end = skipLower(w, i)
	n.from = int32(i)
	if end < len(w) && w[end] == ':' {
		n.colon = int32(end)
		local := end + 1
		if end = skipLower(w, local); end == local || local == i+1 {
			return name{}, i
		}
	}
	n.to = int32(end)
	return n, end
}

// equals scans the "=" and the opening quote between an attribute's name and its value.
func (s *Scanner) equals(w []byte) error {
	switch c := w[s.pos]; {
	case c == '\r':
		s.current.unclean = true
	case isSpace(c):
	case c == '=' && s.state == atEquals:
		s.state = atQuote
	case (c == '"' || c == '\'') && s.state == atQuote:
		s.mark, s.quote, s.decode, s.state = s.pos+1, c, false, inValue
	default:
		return s.unexpected(w, s.pos, "attribute without a quoted value")
	}
	s.pos++
	return nil
}

// unexpected is the fault of a byte that the grammar of tags does not allow, or that is no UTF-8 at all.
func (s *Scanner) unexpected(w []byte, i int, detail string) error {
	if w[i] >= utf8.RuneSelf {
		if n := runeLen(w[i:]); n <= 0 {
			return s.badRune(n, i)
		}
	}
	return s.fault(notWellFormed, i, detail)
}

// value scans on in an attribute's value.
func (s *Scanner) value(w []byte) error {
	i := s.pos
	for {
		i = skipValue(w, i, s.quote)
		s.work += int64(i - s.pos)
		s.pos = i
		if i == len(w) {
			return nil
		}
		switch c := w[i]; {
		case c == s.quote:
			s.attrs[len(s.attrs)-1].value = value{span{int32(s.mark), int32(i)}, s.decode}
			s.pos++
			s.state = inTag
			return nil
		case c == '&':
			n, err := s.reference(w, i)
			if err != nil {
				return err
			}
			s.decode = true
			i += n
		case c >= utf8.RuneSelf:
			var err error
			if i, err = s.runes(w, i); err != nil {
				s.pos = i
				return err
			}
		case isSpace(c):
			// It reads as a space (XML 1.0 §3.3.3), but not to every parser: our own writer makes it one.
			s.decode, s.current.unclean = true, true
			i++
		default:
			return s.fault(notWellFormed, i, "'<' or control character in an attribute")
		}
	}
}

// open takes up the start tag that ends before s.pos: the stream header, or an element within the one in hand.
func (s *Scanner) open(w []byte, empty bool) error {
	depth := len(s.frames)
	f := frame{name: s.name, bound: int32(len(s.bound)), space: s.defaultSpace()}
	if len(s.attrs) > 1 {
		if err := s.checkDuplicates(w); err != nil {
			return err
		}
	}
	if s.declares {
		if err := s.declare(w, &f.space); err != nil {
			return err
		}
	}
	space, err := s.resolve(w, f.space)
	if err != nil {
		return err
	}
	if s.root == nil {
		return s.openStream(w, empty)
	}
	if err := s.admit(w, space, depth); err != nil {
		return err
	}
	if depth == 0 {
		s.record(w, space)
	}
	if depth >= s.limits.Depth {
		return s.fault(policyViolation, s.pos, "elements nested too deeply")
	}
	s.frames = append(s.frames, f)
	s.state = inText
	if empty {
		s.close()
	}
	return nil
}

// record notes of a first-level element's start tag what the way through needs.
func (s *Scanner) record(w []byte, space known) {
	e := &s.current
	e.name, e.space, e.tagEnd = s.name, space, int32(s.pos)
	if space == inServer {
		e.kind = kindOf(s.name.of(w))
	}
	e.inherits = true
	for i := range s.attrs {
		a := &s.attrs[i]
		switch string(a.name.of(w)) {
		case "from":
			e.values[from] = a.value
		case "to":
			e.values[to] = a.value
		case "id":
			e.values[id] = a.value
		case "type":
			e.values[typ] = a.value
		case "xml:lang":
			e.values[lang] = a.value
		case "xmlns":
			e.inherits = false
		}
	}
}

// checkDuplicates refuses a start tag that has the same attribute twice, as it is written. Two prefixes for one namespace are left to
// resolve.
func (s *Scanner) checkDuplicates(w []byte) error {
	attrs := s.attrs
	for i := 1; i < len(attrs); i++ {
		a := attrs[i].name
		for _, b := range attrs[:i] {
			if a.to-a.from == b.name.to-b.name.from && bytes.Equal(a.of(w), b.name.of(w)) {
				return s.fault(notWellFormed, int(a.from), "attribute given twice")
			}
		}
	}
	return nil
}
