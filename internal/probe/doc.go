// Package probe examines how a domain federates, and says in words what is wrong and what mends it.
//
// Remote goes the way that the gate would go to a remote domain: DNS, each address that it names, TCP, the stream, TLS, the certificate,
// and then the proof that we are who we say: SASL EXTERNAL where it is offered, and a real dialback round trip with a key of the gate's
// own secret, which the running gate answers for. It asks the policy in force what it makes of the facts, in both directions, and what
// is remembered of the domain. The Report is one document, for programs, and a page for people.
//
// It stays within what the gate itself may do. Addresses pass the same filter, static routes are taken in place of DNS, and neither a key
// nor a certificate of ours is offered in clear or to a peer whose link policy refuses. Nothing ever becomes a trusted stream here, so no stanza is
// sent or read. The number of addresses, the connections at once and the time are bounded, and so is every string that a stranger made;
// none of them reaches a terminal with control characters or what reorders text.
//
// House does the same for our own domains: whether the world is led to this gate, and the backend's questions to its inside door. The
// sharpest question there is the one that a stranger puts: whether whoever answers at the address in DNS knows a key of ours.
package probe
