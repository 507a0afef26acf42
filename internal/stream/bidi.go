package stream

// NSBidi is the namespace of the request to use a stream both ways (XEP-0288 §2.2).
const NSBidi = "urn:xmpp:bidi"

const nsBidiFeature = "urn:xmpp:features:bidi"

// AppendBidiFeature offers to use a stream both ways (XEP-0288 §2.1).
func AppendBidiFeature(dst []byte) []byte { return append(dst, "<bidi xmlns='"+nsBidiFeature+"'/>"...) }

// FeatureBidi says whether the peer offers to use the stream both ways.
func (s *Stream) FeatureBidi() bool { return s.feature(nsBidiFeature, "bidi") != nil }

// AppendBidi asks for it, and tells the peer what we take: it gets no features of ours (XEP-0478 §3.2). There is no answer.
func AppendBidi(dst []byte, c Capacity) []byte {
	return append(AppendLimits(append(dst, "<bidi xmlns='"+NSBidi+"'>"...), c), "</bidi>"...)
}
