// Package lab is the laboratory of Sallyport's tests: a small internet in which real servers talk to each other, and
// nothing talks to anybody else.
//
// A Lab has two wires, the backends' network (Inside) and the internet (Outside), and any number of hosts on them. Every
// Host is a network namespace without a route to anywhere: what reaches the other wire went through the gate. On the
// hosts run Debian's own packages (install.sh), each in a mount namespace in which the files are its own, so that they
// run as shipped:
//
//	BIND                        the one DNS server outside, signing what is to be     Lab.Bind, Lab.BindSigned
//	Unbound                     a resolver that validates, in clear and over TLS      Lab.Unbound
//	Prosody, ejabberd           peers, with and without TLS                           Lab.Prosody, Lab.Ejabberd
//	jabberd2, mu-conference     the plaintext, dialback-only server of old            Lab.Jabberd2
//	biboumi, ngIRCd             a gateway to an IRC network            Lab.Biboumi
//	one of the three            a backend, changed only as docs/backends tells users  Lab.Backend
//	Pretend                     what nobody packages: Google Talk, a tarpit, a liar   Lab.GoogleTalkLike, Lab.Pretend
//	a web server                the CA's list of what it took back, and the like        Lab.RevocationList, Lab.Web
//	sallyport                   the gate, as a process with its own configuration     Lab.Gate
//
// Clients log in to the real servers as people do (Lab.Client), and the conversations that a federation consists of are
// functions here (Message, Subscribe, Ask, GroupChat, Bounce). A Capture records a wire; a Trace of it proves what
// crossed in clear and what was asked of DNS.
//
// Everything ends with the test. The namespaces have no names and the processes are bound to them (see space), so the
// kernel cleans up even after a panic. When a test fails, the tail of every log is shown.
//
// The laboratory takes root and Linux. Without root its tests are skipped, except where CI is set.
package lab
