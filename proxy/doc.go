// Package proxy is the way through: two doors and the corridor between them.
//
// The outside door is, for the internet, the Jabber server that stands behind it; the inside door is, for that server, the
// internet. A stanza that comes in at one door leaves at the other only after its domain pair was proved (authenticate),
// policy said yes, and the audit record is committed (carry).
//
// Two kinds of link exist, because server-to-server streams carry stanzas one way only (RFC 6120 §4.2, XEP-0220 §2.2):
//
//   - an inbound link is a stream that somebody opened to one of our doors; we are its receiving server and read stanzas from it;
//   - an outbound link is a stream that we opened for one domain pair; we are its initiating server and write stanzas to it.
//     It owns a bounded queue, and every bounce for what the queue could not deliver.
//
// Both kinds exist on both sides, with the same code: inside, we call the backend in the name of the remote domain; outside,
// we call the remote server in the name of the local one. Secrets, sockets, stream ids and dialback keys of the two sides never
// meet.
//
// The package fails closed. No answer from policy is a no; what is not recorded does not pass; the zero value of each type is
// the safe one. It does not read XML (internal/stanza does), decide (policy), remember (audit) or judge certificates (certs).
package proxy
