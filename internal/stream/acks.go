package stream

import (
	"errors"
	"fmt"
	"strconv"

	"sallyport/internal/stanza"
)

// NSAcks is the namespace of acknowledgements (XEP-0198). Streams are not resumed here: a server has no session to lose.
const NSAcks = "urn:xmpp:sm:3"

// AckKind is what an element of NSAcks is.
type AckKind uint8

// The elements of NSAcks, by their names on the wire. AckOther is one that we have no use for.
const (
	AckOther   AckKind = iota
	AckEnable          // <enable/>: the peer wants them
	AckEnabled         // <enabled/>: the peer agrees
	AckFailed          // <failed/>: the peer does not
	AckRequest         // <r/>: how far are we?
	AckAnswer          // <a h=''/>: so far
	AckResume          // <resume/>: a stream of before is to go on
)

// AppendAcksFeature offers acknowledgements. Do so only to a peer that has authenticated ([M04]).
func AppendAcksFeature(dst []byte) []byte { return append(dst, "<sm xmlns='"+NSAcks+"'/>"...) }

// FeatureAcks says whether the peer offers acknowledgements.
func (s *Stream) FeatureAcks() bool { return s.feature(NSAcks, "sm") != nil }

// AppendEnable asks for acknowledgements in both directions.
func AppendEnable(dst []byte) []byte { return append(dst, "<enable xmlns='"+NSAcks+"'/>"...) }

// AppendEnabled agrees to them.
func AppendEnabled(dst []byte) []byte { return append(dst, "<enabled xmlns='"+NSAcks+"'/>"...) }

// AppendAckFailed refuses them, or what was asked for with them.
func AppendAckFailed(dst []byte, c stanza.Condition) []byte {
	dst = append(append(dst, "<failed xmlns='"+NSAcks+"'><"...), c...)
	return append(dst, " xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></failed>"...)
}

// AppendAckRequest asks how far the peer is.
func AppendAckRequest(dst []byte) []byte { return append(dst, "<r xmlns='"+NSAcks+"'/>"...) }

// AppendAck says that we have taken responsibility for handled stanzas since acknowledgements are on.
func AppendAck(dst []byte, handled uint32) []byte {
	dst = append(dst, "<a xmlns='"+NSAcks+"' h='"...)
	return append(strconv.AppendUint(dst, uint64(handled), 10), "'/>"...)
}

// ParseAck reads an element of NSAcks; handled is that of an AckAnswer. An answer without a count is an *Error.
func ParseAck(el *stanza.Element) (kind AckKind, handled uint32, err error) {
	switch _, local := el.Name(); local {
	case "enable":
		return AckEnable, 0, nil
	case "enabled":
		return AckEnabled, 0, nil
	case "failed":
		return AckFailed, 0, nil
	case "r":
		return AckRequest, 0, nil
	case "resume":
		return AckResume, 0, nil
	case "a":
		h := el.Tree().Attr("h")
		n, err := strconv.ParseUint(h, 10, 32)
		if err != nil {
			return AckAnswer, 0, &Error{Condition: InvalidXML, Err: fmt.Errorf("the acknowledgement's h is %q", clip(h))}
		}
		return AckAnswer, uint32(n), nil
	}
	return AckOther, 0, nil
}

// HandledTooHigh is the error for a peer that acknowledges what was not sent ([M05], XEP-0198 §4).
func HandledTooHigh(handled, sent uint32) *Error {
	return &Error{Condition: UndefinedCondition, Text: fmt.Sprintf("you acknowledged %d stanzas, and %d were sent", handled, sent),
		detail: fmt.Sprintf("<handled-count-too-high xmlns='"+NSAcks+"' h='%d' send-count='%d'/>", handled, sent), Err: errors.New("the peer's count is wrong")}
}
