package peer

import "bytes"

// Splitter cuts one direction of an XMPP connection into stream headers, first-level elements and the closing tag. It knows
// tags, quotes, CDATA and depth, and nothing more: it is for counting honest traffic fast, not for judging hostile input. The
// zero value stands before the stream header.
type Splitter struct {
	Depth int // 0: before the header, 1: between elements

	rest []byte // of the last piece: from the start of what is not complete
	mark int    // up to where rest has been looked at
}

// Feed takes the next piece of the stream and hands each complete item to take, which must not keep it. When take returns
// false, Feed stops behind that item and returns what it has not looked at; the Splitter is of no more use then.
func (s *Splitter) Feed(piece []byte, take func(item []byte) bool) (unread []byte) {
	buf, at := piece, 0
	if len(s.rest) > 0 {
		s.rest = append(s.rest, piece...)
		buf, at = s.rest, s.mark
	}
	start := 0 // of the item that is being read
	for at < len(buf) {
		n := bytes.IndexByte(buf[at:], '<')
		if n < 0 {
			at = len(buf)
			break
		}
		if s.Depth <= 1 {
			start = at + n
		}
		end := tagEnd(buf[at+n:])
		if end < 0 {
			at += n
			break
		}
		tag := buf[at+n : at+n+end]
		at += n + end
		if s.enter(tag) && !take(buf[start:at]) {
			return buf[at:]
		}
		if s.Depth <= 1 {
			start = at
		}
	}
	if s.Depth <= 1 && at == len(buf) {
		start = at // nothing but white space since the last item
	}
	s.mark = at - start
	if len(s.rest) > 0 {
		s.rest = s.rest[:copy(s.rest, buf[start:])]
	} else {
		s.rest = append(s.rest, buf[start:]...)
	}
	return nil
}

// Incomplete is what stands at the end of the stream without being an item yet.
func (s *Splitter) Incomplete() []byte { return s.rest }

// enter follows the depth over one tag and says whether an item ends with it.
func (s *Splitter) enter(tag []byte) bool {
	switch {
	case tag[1] == '?' || tag[1] == '!':
		return false
	case tag[1] == '/':
		s.Depth--
		return s.Depth <= 1
	case tag[len(tag)-2] == '/':
		return s.Depth <= 1
	case s.Depth == 0 || s.Depth == 1 && string(Name(tag)) == "stream":
		s.Depth = 1 // a header, the first or one after SASL
		return true
	}
	s.Depth++
	return false
}

// tagEnd is the length of the tag that b begins with, or -1 when it is not complete.
func tagEnd(b []byte) int {
	if bytes.HasPrefix(b, []byte("<![CDATA[")) {
		if n := bytes.Index(b, []byte("]]>")); n >= 0 {
			return n + 3
		}
		return -1
	}
	for i := 2; i < len(b); i++ {
		switch c := b[i]; c {
		case '>':
			return i + 1
		case '\'', '"':
			n := bytes.IndexByte(b[i+1:], c)
			if n < 0 {
				return -1
			}
			i += n + 1
		}
	}
	return -1
}

// Name is the name of the element that an item begins with, without its prefix; nil when there is none.
func Name(item []byte) []byte {
	name := bytes.TrimLeft(item, "</")
	if n := bytes.IndexAny(name, " \t\r\n/>"); n >= 0 {
		name = name[:n]
	}
	return name[bytes.IndexByte(name, ':')+1:]
}
