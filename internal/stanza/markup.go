package stanza

import "bytes"

// advance scans w from s.pos on, until the header, the element or the stream is complete (nil), w is used up (errShort), or a fault is
// found. What it decides depends on the bytes alone, never on where w ends.
func (s *Scanner) advance(w []byte) error {
	for s.state != complete {
		if s.pos >= len(w) {
			return errShort
		}
		var err error
		switch s.state {
		case inText:
			err = s.text(w)
		case atMarkup:
			err = s.markup(w)
		case atBang, inCDATA:
			err = s.cdata(w)
		case inEndName, inEndTag:
			err = s.endTag(w)
		case atStart, inDecl, inProlog:
			err = s.prolog(w)
		default:
			err = s.startTag(w)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// markup looks at the byte behind '<'.
func (s *Scanner) markup(w []byte) error {
	switch i := s.pos; w[i] {
	case '/':
		s.pos++
		s.mark, s.state = s.pos, inEndName
		if s.root == nil {
			return s.fault(notWellFormed, i, "end tag before the stream header")
		}
		if s.pos < len(w) {
			return s.endTag(w)
		}
	case '!':
		if len(s.frames) == 0 {
			return s.fault(restrictedXML, i, "comment, DTD or CDATA outside of a stanza")
		}
		s.pos++
		s.mark, s.state = s.pos, atBang
	case '?':
		return s.fault(restrictedXML, i, "processing instruction")
	default:
		s.attrs, s.declares, s.prefixed = s.attrs[:0], false, 0
		if len(s.frames) == 0 && s.root != nil {
			if err := s.count(i); err != nil {
				return err
			}
		}
		if end := s.plainTag(w, i); end != 0 {
			s.pos, s.state = end, inTag
			return s.inside(w)
		}
		s.mark, s.colon, s.state = i, 0, inName
	}
	return nil
}

// count counts the first-level element that begins here.
func (s *Scanner) count(i int) error {
	s.elements++
	if _, most := s.budget(); most > 0 && s.elements > most {
		return s.fault(policyViolation, i, "more elements than an unproved peer may send")
	}
	return nil
}

// endTag matches the name of the innermost open element, byte by byte as they come, and the '>' behind it.
func (s *Scanner) endTag(w []byte) error {
	i := s.pos
	if s.state == inEndName {
		want := s.openName(w)
		done := i - s.mark
		n := min(len(want)-done, len(w)-i)
		if !bytes.Equal(w[i:i+n], want[done:done+n]) {
			return s.fault(notWellFormed, s.mark, "end tag does not match the start tag")
		}
		i += n
		if done+n == len(want) {
			s.state = inEndTag
		}
	}
	for s.state == inEndTag && i < len(w) {
		c := w[i]
		i++
		switch {
		case c == '>':
			s.pos = i
			s.close()
			return nil
		case c == '\r':
			s.current.unclean = true
		case !isSpace(c):
			return s.fault(notWellFormed, s.mark, "end tag does not match the start tag")
		}
	}
	s.pos = i
	return nil
}

// openName returns the name of the innermost open element, or of the root when no other is open.
func (s *Scanner) openName(w []byte) []byte {
	if n := len(s.frames); n > 0 {
		return s.frames[n-1].name.of(w)
	}
	return s.root.name
}

// close ends the innermost open element, whose last byte is behind s.pos; without one, the stream.
func (s *Scanner) close() {
	n := len(s.frames)
	if n == 0 {
		s.closed, s.state = true, complete
		return
	}
	s.bound = s.bound[:s.frames[n-1].bound]
	s.frames = s.frames[:n-1]
	s.state = inText
	if n == 1 {
		s.finish()
	}
}

// finish completes the first-level element, which ends before s.pos.
func (s *Scanner) finish() {
	s.state = complete
	s.current.raw = s.buf[s.start : s.start+s.pos : s.start+s.pos]
}
