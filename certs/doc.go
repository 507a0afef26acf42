// Package certs holds both sides of a handshake: the certificates that we show, and the judgement on those that peers show us.
//
// # Ours
//
// A Manager keeps the certificate chains and keys of the local domains. They are read from PEM files and read again on Reload,
// all or nothing: one bad file changes nothing, and the error names every fault with the step that mends it. A certificate is
// chosen by the domain of the stream header first, by SNI second (RFC 6120 §5.4.3.1); a domain that no certificate names is a
// fault that Covers reports before the gate opens.
//
// # Obtained from an authority
//
// For the domains that no file names, a Manager obtains certificates by itself (ACME, RFC 8555), while Run runs: for all domains of a
// backend together or for each alone, by tls-alpn-01, http-01 or dns-01. A certificate is renewed when a third of its life is left. A
// new one is staged beside the old, proved to be able to serve, and only then takes its place; no failure of any kind touches what
// serves. Failures are told in the log, by Status and by Concerns, in words that say what to do; attempts are repeated with growing
// pauses, and not before the authority said.
//
// golang.org/x/crypto has two packages for this. autocert answers here: its Manager shows validators of tls-alpn-01 and http-01 what
// they look for, and its DirCache, in its own format, is the store; an autocert cache of the same authority can be put there. The
// order itself is made with package acme for all three challenges, because autocert's Manager obtains one name at a time and has no
// dns-01 and no profiles, keeps to itself why an authority refused, repeats failed renewals after half an hour whatever the
// authority asked for and however short the certificate lives, and cannot be stopped. The two halves meet in a cache of answers, as
// those of a fleet do in which one machine orders and any other may be asked.
//
// # Theirs
//
// A Verifier answers one question: does this chain prove that its holder is this domain? Yes takes all of:
//
//   - the chain leads to a trust anchor, within its dates, with keys and signatures of today's strength (RFC 6120 §13.7.2);
//   - the leaf, and nothing else in the chain, names the domain in its subjectAltName: as DNS-ID, as SRV-ID
//     "_xmpp-server.domain" (RFC 4985 §2) or as xmppAddr (RFC 6120 §13.7.1.4);
//   - the leaf may be used for TLS servers. The same is asked when the peer is the TLS client: public authorities no longer issue
//     the clientAuth usage, and a server's name is what is proved in either role.
//
// The subject's common name is never looked at, whatever is in it (RFC 9525 §2). crypto/x509 builds and checks the chain; the
// names are read by this package, because crypto/x509 drops those that XMPP brought along.
//
// A domain can vouch for its certificate itself, without an authority: by TLSA records below DNSSEC (VerifyDANE, RFC 7673), or by a
// document on its web server (VerifyPOSH, RFC 7711). Both speak of the leaf that this handshake showed, as everything here does. A
// domain that has usable TLSA records is judged by these alone.
//
// Anything that goes wrong on the way, a panic included, leaves the zero Result, which proves nothing.
//
// # What crypto/x509 decides, and why that is left to it
//
// Critical extensions that nobody here understands refuse the chain, as RFC 5280 §4.2 demands. One is understood here and not
// there: a critical subjectAltName that holds nothing but XMPP's own name forms.
//
// Name constraints of an authority are held by crypto/x509 for dNSName. It knows no constraint on SRV-ID or xmppAddr, so that an
// authority limited to "corp.example" could still issue an xmppAddr for anyone. Below an authority with name constraints only
// DNS-ID therefore counts.
//
// System trust anchors are read once in the life of the process.
//
// # Revocation
//
// Whether an authority took a certificate back is a second question, put to Revocations: its answer is good, revoked or unknown, and
// what unknown means is policy's affair. Stapled OCSP answers come with the handshake; revocation lists are fetched beside the path
// and kept, because whoever can hold up a handshake by a slow list can hold up everybody's. OCSP responders are not asked: they
// would learn who federates with whom.
//
// # Sessions
//
// No trust decision outlives the handshake that made it. Server configurations that ask for a client's certificate issue no
// session tickets, and client configurations keep no sessions: a ticket would bring an old certificate back without its chain
// being judged by the anchors of today.
package certs
