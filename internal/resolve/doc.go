// Package resolve finds out where an XMPP domain is served, connects there, and answers the same question for the backends.
//
// The way out: a domain's DNS names its servers in SRV records, best first, some sharing the load by weight (RFC 2782, RFC 6120 §3.2).
// There are two kinds, for streams that begin in clear and for streams that begin with TLS (XEP-0368); they are asked for at once and
// mixed. A domain without any is served by the host of its own name on port 5269; one whose SRV records have the target "."
// is served nowhere. "There is no such record" and "nobody answered" are different things: the first is final and goes back to the
// sender, the second is tried again. So Resolver.Endpoints has three errors: NotFoundError, TemporaryError and FilteredError.
//
// What DNS says is written by strangers. It decides where we connect and nothing else, unless DNSSEC vouches for it: the name of an SRV
// target does not prove an identity by itself, and an address that is not on the public internet, or is this gate itself, is refused (FilteredError) unless the
// configuration says otherwise. Answers that do not fit the question to the letter are ignored; their number and size, the targets,
// the addresses and the cache are bounded.
//
// The resolver is a stub: it asks the configured recursive servers, in clear or over TLS, and does not validate DNSSEC itself. Where the
// configuration says that they do (dnssec), and nobody on the way to them can change what they say, it believes their AD bit. Then
// Endpoint says which names and addresses are vouched for, and carries the TLSA records of those that are (RFC 7673). What fails
// validation, or is kept from us where DNSSEC is at work, is a TemporaryError and never a way round.
//
// Survey tells people all that the gate learns about a domain, CAA which authorities may issue for it, and HTTP makes clients for
// documents that strangers point us to, under the same filter.
//
// The way in: Inside is the name server that a backend is given. It says that every XMPP domain lives at the gate's inside
// door, existing or not, and forwards all other questions. That is the whole trick by which an unmodified server federates through
// the gate.
package resolve
