// Package stream is one XML stream between two XMPP servers, from its first byte to its last (RFC 6120 §4).
//
// A stream is two documents that two servers write to each other, each beginning with a header that never closes until the end.
// The initiating server calls and speaks first; the receiving server answers with a header of its own, which carries the stream
// id, and with the features that it offers. TLS and SASL begin both documents anew: with new headers, a new id, and nothing of
// what was learnt before (RFC 6120 §4.3.3, RFC 6120 §5.4.3.3).
//
//	Initiate                                     Accept
//	<stream:stream from to version='1.0'>   ───►
//	                                       ◄───  <stream:stream from to id version='1.0'> <stream:features>
//	ClientTLS
//	<starttls/>                             ───►
//	                                             StartTLS
//	                                       ◄───  <proceed/>
//	[TLS, then both headers and the features again]
//	ClientExternal
//	<auth mechanism='EXTERNAL'>             ───►
//	                                       ◄───  <success/>
//	                                             Restart
//	[both headers and the features again]
//
// Servers of before 2004 send no version: they get none back, and no features, and prove themselves by dialback at once. Each of
// the methods above does one step of this and returns when it is done, so a negotiation reads as it happens. A step that fails
// ends the stream in the way that the failure asks for, and the connection with it; its caller has nothing to tidy up.
//
// Trust is a type here. A Stream has no method that yields a stanza: Next hands out what is being negotiated, and stops with
// ErrStanza in front of the first stanza without consuming it. Whoever has proved the peer calls Trust, and reads on from the
// Trusted that it returns.
//
// One goroutine reads a Stream and takes its steps; any number write to it, ask for its facts, and end it.
package stream
