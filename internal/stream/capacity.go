package stream

import (
	"strconv"
	"strings"
	"time"

	"sallyport/internal/stanza"
)

const nsLimits = "urn:xmpp:stream-limits:0"

// Capacity is what a server says that it takes on a stream (XEP-0478 §3.1). A field that is zero says nothing.
type Capacity struct {
	Bytes int           // of one first-level element, from '<' to '>'
	Idle  time.Duration // without a byte, before the stream may be closed; whole seconds are told
}

// AppendLimits tells a peer what we take: in our features, or where we call it within <bidi/> (XEP-0478 §3.2).
func AppendLimits(dst []byte, c Capacity) []byte {
	dst = append(dst, "<limits xmlns='"+nsLimits+"'>"...)
	if c.Bytes > 0 {
		dst = append(strconv.AppendInt(append(dst, "<max-bytes>"...), int64(c.Bytes), 10), "</max-bytes>"...)
	}
	if s := int64(c.Idle / time.Second); s > 0 {
		dst = append(strconv.AppendInt(append(dst, "<idle-seconds>"...), s, 10), "</idle-seconds>"...)
	}
	return append(dst, "</limits>"...)
}

// ParseLimits reads what a peer tells in its features or in its <bidi/>. What is no number above zero, or too great for a limit, says
// nothing.
func ParseLimits(parent *stanza.Node) (c Capacity) {
	limits := parent.Child(nsLimits, "limits")
	number := func(name string) uint64 {
		n := limits.Child(nsLimits, name)
		if n == nil {
			return 0
		}
		v, err := strconv.ParseUint(strings.TrimSpace(n.Text), 10, 31)
		if err != nil {
			return 0
		}
		return v
	}
	c.Bytes = int(number("max-bytes"))
	c.Idle = time.Duration(number("idle-seconds")) * time.Second
	return c
}

// FeatureLimits returns what the peer last told of its limits.
func (s *Stream) FeatureLimits() Capacity { return ParseLimits(s.Features()) }
