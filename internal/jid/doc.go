// Package jid reads and compares XMPP addresses (RFC 7622).
//
// An address is localpart@domainpart/resourcepart; only the domainpart must be there. Two addresses that look different may be
// the same one: MÜNCHEN.example, münchen.example., and xn--mnchen-3ya.example are one domain, Romeo@x and romeo@x are one
// account. Whoever compares them as they came lets a forbidden address through under another spelling, and computes a dialback key
// that the other side cannot reproduce. So everything is brought to its one canonical form once, where it enters, and from there
// on equality of Go values is equality of addresses: Domain and JID are comparable and serve as map keys.
//
// A canonical domain is in U-label form and lower case, with no final dot: what goes on the wire. Domain.ASCII gives the A-label
// form for DNS and certificates. Anything that IDNA or PRECIS does not allow is refused, never repaired: an address that two
// servers could read differently has no place between them.
//
// A Cache spares the work for addresses seen before; a busy link meets the same few thousand of them again and again.
package jid
