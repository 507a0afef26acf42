// Package demo plays a whole federation on loopback, in one process, around a real gate: what `sallyport demo` shows.
//
// The cast: corp.example, a legacy server that knows neither TLS nor XMPP versions and proves itself by dialback; the gate in
// front of it; partner.example, a modern server that requires TLS; and rival.example, another one, which no policy lists.
// Users on all sides write to each other. What policy allows must arrive; what it forbids must come back with a reason, or
// vanish where the protocol wants that, and must be in the record all the same. Taps on the outside wires count every byte of
// a stanza or dialback key that a listener could have read. There must be none.
//
// The gate is started by the caller ([Options.StartGate]) from a configuration file that the demo writes, and is asked for its
// links and its record like any other gate; the rest is pretend servers of package peer, which share no code with it. The
// record is read by the demo itself too, line by line, so that a gate that recorded nothing cannot say that it did.
//
// [Result] is the truth of the run: OK only if every expectation held.
package demo
