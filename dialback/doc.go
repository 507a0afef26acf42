// Package dialback proves a domain by asking it (XEP-0220).
//
// Servers were federating before certificates were common. A server that calls another one names the domain it speaks for, and
// shows a key. The called server knows nothing of that domain but its name, so it asks whoever answers at the address that the
// domain's own DNS gives: did you make this key? If so, the caller and the owner of the domain share a secret, and are the same
// for our purposes. Three servers have a part in it, and a gate plays all three:
//
//	Initiating server                     Receiving server                    Authoritative server
//	──────────────────                    ────────────────                    ────────────────────
//	<db:result from='I' to='R'>KEY  ───►
//	                                      <db:verify from='R' to='I'
//	                                       id='the stream id of R'>KEY  ───►
//	                                                                    ◄───  <db:verify from='I' to='R' id=… type='valid'/>
//	◄───  <db:result from='R' to='I' type='valid'/>
//
// It is as strong as the DNS, and it proves the caller to the called, never the other way round: whoever relies on it to know whom
// it has called has misread it.
//
// Keys are those of XEP-0185: an HMAC over both domains and the stream id that the receiving server has just made. The
// authoritative server recomputes a key and keeps no state. Nobody can carry a key over to another pair or to another stream,
// for both are in it; see Challenge.
//
// The package holds the secret, the keys and the elements of the protocol. It opens no connection and decides nothing: who is
// asked, how long one waits and what an answer is worth is the business of its caller. Domains are strings here, and must be in
// canonical form, for two spellings of one domain make two keys.
package dialback
