// Package resolve finds out where an XMPP domain is served, connects there, and answers the same question for the backends.
//
// The way out: a domain's DNS names its servers in SRV records, best first, some sharing the load by weight (RFC 2782, RFC 6120 §3.2).
// A domain without SRV records is served by the host of its own name on port 5269; one whose single SRV record has the target "."
// is served nowhere. "There is no such record" and "nobody answered" are different things: the first is final and goes back to the
// sender, the second is tried again. So Resolver.Endpoints has three errors: NotFoundError, TemporaryError and FilteredError.
//
// What DNS says is written by strangers. It decides where we connect and nothing else: the name of an SRV target never proves
// an identity, and an address that is not on the public internet, or is this gate itself, is refused (FilteredError) unless the
// configuration says otherwise. Answers that do not fit the question to the letter are ignored; their number and size, the targets,
// the addresses and the cache are bounded.
//
// The resolver is a stub: it asks the configured recursive servers and believes them. It does not validate DNSSEC.
//
// The way in: Inside is the name server that a backend is given. It says that every XMPP domain lives at the gate's inside
// door, existing or not, and forwards all other questions. That is the whole trick by which an unmodified server federates through
// the gate.
package resolve
