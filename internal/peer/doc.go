// Package peer holds pretend XMPP servers: small, honest ones, for the demo, the tests and the load generator.
//
// A server-to-server stream carries stanzas one way. The server that wants to send opens a TCP connection to the address that the
// other domain's SRV record gives, says who it is, and proves it: by a certificate (SASL EXTERNAL, XEP-0178), or by dialback
// (XEP-0220), where it shows a key and the called server asks the domain's own address, over another connection, whether that
// key is its. Two domains that talk to each other therefore have two streams, and each of them is proved by itself.
//
// Two characters are here. Legacy is what an old jabberd was: no TLS, dialback only, if wanted without version, from and to in
// its headers. Modern takes no stanza and no key outside TLS, shows a certificate and checks the other's. A stranger is a
// Modern that no policy knows. All of them host users that exist as soon as they are named:
//
//	corp, err := peer.Legacy{Domains: []string{"corp.example"}, Directory: peer.Directory{DNS: "127.0.2.1:53"}}.Start(ctx)
//	alice := corp.User("alice")
//	id, err := alice.Send("bob@partner.example", "Hello")
//	answer, err := alice.Receive(ctx)
//
// The servers share no code with the gate: they read with encoding/xml and write by hand, so that a fault of the gate's own
// reader or writer cannot cancel itself out. They are no servers for strangers: they trust that loopback is friendly and bound
// neither sizes nor counts.
//
// Tap stands on a wire between two servers and tells what crossed it in clear. Names is a pretend DNS, Authority a pretend
// certificate authority, and Splitter cuts a byte stream into elements where encoding/xml would be too slow.
package peer
