// Package stanza reads untrusted XML streams, strictly and once.
//
// Between two servers stand two XML parsers, the sender's idea of a document and the receiver's. Where the two differ, a stanza can be
// one thing to the guard and another to the guarded: stanza smuggling. So here one scan decides everything. It cuts the stream into its
// header and its first-level elements, proves each of them well-formed by XML 1.0 and Namespaces in XML 1.0, and keeps to what XMPP
// allows of both (RFC 6120 §11). What it accepts, every conforming parser reads the same way; what it does not, ends the stream:
//
//   - comments, processing instructions, DTDs, entities beyond the five predefined ones: restricted-xml;
//   - bytes that are not UTF-8, another declared encoding: unsupported-encoding;
//   - undeclared prefixes, attributes given twice (also under two prefixes), forbidden characters: not-well-formed;
//   - a prefix on an element of jabber:server, or the prefix "stream" for anything but streams: bad-namespace-prefix;
//   - an element of jabber:client where a stanza belongs: invalid-namespace;
//   - text between stanzas, stream tags within the stream: bad-format;
//   - more than Limits allow: policy-violation.
//
// The Scanner works on bytes as they arrive and never looks at one twice, so a stanza fed in drops costs no more than one fed whole. It
// allocates nothing: an Element is a view of the buffer with the offsets of what routing needs (from, to, id, type, xml:lang).
//
// An Element leaves by AppendTo. If the scan has proved that its bytes mean the same on our own streams (Verbatim), they leave as they
// came. Otherwise only the start tag is changed (canonical addresses, xml:lang, prefixes that only the peer's header declared), or the
// whole is written anew from its tokens: CDATA sections as escaped text, line ends and white space in attributes as XML normalises
// them. The package never emits a comment, a processing instruction or an entity of its own making.
//
// Tree, Payloads and the stanza errors (Error, AppendBounce) are for the few elements that somebody has to look into.
package stanza
