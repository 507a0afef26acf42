// Package xmpptest holds what the tests talk to: scripted conversations that a reader can learn server-to-server XMPP from
// (Converse), pretend DNS, and in its subfolder lab the real servers of Debian in network namespaces.
//
// A pretend peer is for what a real one cannot be made to do. None of this is linked into the program.
package xmpptest
