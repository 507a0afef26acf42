package stanza

import (
	"errors"
	"io"
	"slices"
	"sync/atomic"
)

// state is where in the grammar the Scanner stands between two bytes.
type state uint8

const (
	atStart   state = iota // before the first byte of the stream
	inDecl                 // in the XML declaration
	inProlog               // before the root's '<'
	between                // at the first level, between elements
	inText                 // in an element's content
	atMarkup               // behind '<'
	atBang                 // in "<![CDATA[", as far as it matches
	inCDATA                // in a CDATA section
	inName                 // in the name of a start tag
	inTag                  // in a start tag, behind its name or behind a value
	afterTag               // there, with white space behind: an attribute may begin
	inAttr                 // in an attribute's name
	atEquals               // behind an attribute's name
	atQuote                // behind '='
	inValue                // in an attribute's value
	atSlash                // behind the '/' of an empty element
	inEndName              // in the name of an end tag
	inEndTag               // behind it
	complete               // behind the header, an element, or the end of the stream
)

// A Scanner cuts a stream of bytes into its header and its first-level elements. It reads each byte once, however they arrive, and
// keeps only the element in hand. It belongs to one goroutine.
type Scanner struct {
	// Set at birth or by SetLimits.
	r      io.Reader
	limits Limits

	// The buffer: buf[start:end] is read and not consumed, buf[start:start+pos] is scanned.
	buf             []byte  // *shared, or a bigger one for a big element
	shared          *[]byte // of buffers; nil while there is nothing to scan
	start, pos, end int
	base            int64 // stream offset of buf[0]
	full            bool  // the last read left no room

	// What is being scanned. Offsets are relative to start, so the buffer may move.
	state    state
	mark     int       // where the current name or value began
	colon    int       // of the current name; 0 = none
	quote    byte      // of the current value
	decode   bool      // the current value is not what it spells
	name     name      // of the current start tag
	attrs    []attr    // of the current start tag
	declares bool      // one of attrs is a namespace declaration
	prefixed int       // how many of attrs have a prefix other than xmlns and xml
	frames   []frame   // open elements
	bound    []binding // prefixes declared within the element, innermost last
	current  Element   // what is known of the first-level element

	// Owned by Next, Batch and Header.
	root     *Root
	elements int   // first-level elements begun
	unread   bool  // current is to be returned again
	held     bool  // current was returned, its bytes are not yet consumed
	closed   bool  // the root's end tag was read
	err      error // final
	work     int64 // bytes looked at or moved, for the test that scanning is linear

	lifted atomic.Bool // what Lift does
}

// NewScanner returns a Scanner for the stream that r delivers from its first byte on.
func NewScanner(r io.Reader, l Limits) *Scanner {
	return &Scanner{r: r, limits: l.effective()}
}

// SetLimits replaces the limits, from the next call on. What Total and Elements count goes on.
func (s *Scanner) SetLimits(l Limits) { s.limits = l.effective() }

// Lift ends the budget, Total and Elements, at once. Any goroutine may call it, also while another waits in Next: who has been proved may
// send more than that before the one that reads has heard of it.
func (s *Scanner) Lift() { s.lifted.Store(true) }

// budget returns how many bytes and first-level elements may come in all; 0 = any number.
func (s *Scanner) budget() (bytes, elements int) {
	if s.limits.Total == 0 && s.limits.Elements == 0 || s.lifted.Load() {
		return 0, 0
	}
	return s.limits.Total, s.limits.Elements
}

// Buffered returns how many bytes have been read and not been consumed as header, element or white space. It must be 0 when TLS
// is to start: what stands there was sent in clear, whoever sent it (RFC 6120 §5.4.2.3).
func (s *Scanner) Buffered() int {
	if s.held && !s.unread {
		return s.end - s.start - s.pos
	}
	return s.end - s.start
}

// Next returns the next first-level element, waiting for it as long as the reader does. The element is valid until the next call of
// Next or Batch. Errors are
//   - ErrClosed: the peer closed its stream;
//   - io.EOF: the bytes ended between elements; io.ErrUnexpectedEOF: within one;
//   - *SyntaxError: the stream must be closed with its condition;
//   - what the reader returned. After a time-out the call may be repeated, nothing is lost.
func (s *Scanner) Next() (*Element, error) {
	if s.unread {
		s.unread = false
		return &s.current, nil
	}
	if _, err := s.scan(true); err != nil {
		return nil, err
	}
	return &s.current, nil
}

// Unread makes the following Next or Batch begin with the element that Next returned last.
func (s *Scanner) Unread() { s.unread = s.held }

// Batch waits for an element as Next does, and appends it to dst[:0] with all further elements that are complete in the buffer, up
// to most of them. A fault behind the first element is returned by the next call. What dst held is cleared first, so that a link
// that waits keeps no buffer alive.
func (s *Scanner) Batch(dst []Element, most int) ([]Element, error) {
	clear(dst)
	dst = dst[:0]
	if _, err := s.Next(); err != nil {
		return dst, err
	}
	for {
		dst = slices.Grow(dst, 1)[:len(dst)+1]
		dst[len(dst)-1] = s.current
		if len(dst) >= most {
			return dst, nil
		}
		if more, _ := s.scan(false); !more {
			return dst, nil // a fault is kept for the next call
		}
	}
}

// scan brings the next first-level element into current. Without wait it takes only what the buffer holds, and returns false when
// that is not a whole element.
func (s *Scanner) scan(wait bool) (bool, error) {
	if s.err != nil {
		return false, s.err
	}
	if s.root == nil {
		return false, errors.New("scanning: no stream header yet")
	}
	s.consume()
	for {
		err := s.resume()
		switch {
		case err == nil && s.closed:
			s.err = ErrClosed
			return false, s.err
		case err == nil:
			s.held = true
			return true, nil
		case err != errShort:
			s.err = err
			return false, err
		case !wait:
			return false, nil
		}
		if err := s.fill(); err != nil {
			return false, err
		}
	}
}

// consume drops the bytes of the element that was returned last.
func (s *Scanner) consume() {
	if !s.held {
		return
	}
	s.held, s.unread = false, false
	s.start += s.pos
	s.pos = 0
	s.state = between
	s.current.raw = nil
}

// resume scans on in what the buffer holds: nil when the header, the element or the stream is complete, errShort when more bytes are
// needed, else the fault.
func (s *Scanner) resume() error {
	if s.state == between {
		if err := s.enter(); err != nil {
			return err
		}
	}
	end, limit := s.window()
	err := s.advance(s.buf[s.start:end])
	if err == errShort && limit != withinLimits {
		return s.exceeded(limit, end)
	}
	return err
}

// enter passes over the white space between elements (RFC 6120 §4.6.1) up to the '<' of the next one.
func (s *Scanner) enter() error {
	for s.start < s.end {
		if total, _ := s.budget(); total > 0 && s.base+int64(s.start) >= int64(total) {
			return s.exceeded(totalLimit, s.start)
		}
		switch c := s.buf[s.start]; {
		case isSpace(c):
			s.start++
		case c == '<':
			s.begin()
			return nil
		default:
			return s.fault(badFormat, 0, "text between stanzas")
		}
	}
	return errShort
}

// begin starts a first-level element at buf[start].
func (s *Scanner) begin() {
	s.state, s.pos = atMarkup, 1
	s.frames, s.bound = s.frames[:0], s.bound[:0]
	s.current = Element{root: s.root}
}

// limit is what keeps a window from growing.
type limit uint8

const (
	withinLimits limit = iota
	headerLimit
	stanzaLimit
	totalLimit
)

// window returns the end of the bytes that may be scanned, and the limit that it stands at.
func (s *Scanner) window() (end int, at limit) {
	most, which := s.start+s.limits.Stanza, stanzaLimit
	if s.root == nil {
		most, which = s.start+s.limits.Header, headerLimit
	}
	if total, _ := s.budget(); total > 0 && s.base+int64(most) >= int64(total) {
		most, which = max(s.start, int(int64(total)-s.base)), totalLimit
	}
	if s.end < most {
		return s.end, withinLimits
	}
	return most, which
}

// exceeded returns the fault of needing more than a limit allows.
func (s *Scanner) exceeded(which limit, end int) error {
	e := &SyntaxError{Condition: policyViolation, Offset: s.base + int64(end)}
	switch which {
	case headerLimit:
		e.Detail = "stream header is too big"
	case stanzaLimit:
		e.TooBig, e.Detail = true, "stanza is too big"
	default:
		e.Detail = "more bytes than an unproved peer may send"
	}
	return e
}
