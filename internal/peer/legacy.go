package peer

import (
	"context"
	"crypto/sha1"
	"encoding/hex"
	"net"
)

// Verification is the way a server asks whether a key that it was shown is genuine.
type Verification uint8

const (
	// OverOutgoing asks on the stream that the server itself opens to the domain, behind its own db:result, as jabberd 1.4 and
	// Prosody do. The stream stays.
	OverOutgoing Verification = iota
	// OverSeparate asks on a connection of its own that ends with the answer, as ejabberd does.
	OverSeparate
)

// Legacy is a server of the old kind: plaintext, and dialback its only proof. Its keys are made as jabberd made them, from the
// other domain's name and the stream id alone. Stanzas of a pair that is not proved are dropped in silence, RFC 3920 §8.3.
type Legacy struct {
	Domains   []string  // what it serves: exact names, "*.suffix" or "*"
	Listen    string    // address to listen on; default 127.0.0.1:0
	Directory Directory // how it finds the others
	Secret    string    // of its dialback keys; default: made at the start
	Version   bool      // it speaks XMPP 1.0; else its headers carry no version and it neither sends nor expects features
	Named     bool      // its stream headers carry from and to
	Verify    Verification
	Hooks
}

// Start listens, and serves until ctx ends or Close is called.
func (l Legacy) Start(ctx context.Context) (*Server, error) {
	secret := l.Secret
	if secret == "" {
		secret = randomID()
	}
	return start(ctx, character{
		domains: l.Domains, listen: l.Listen, directory: l.Directory, hooks: l.Hooks,
		version: l.Version, named: l.Named, separate: l.Verify == OverSeparate, exact: true, silent: true,
		key: func(c challenge) string { return chainedKey(secret, c) },
	})
}

// chainedKey is the key of jabberd 1.4 and 2: three SHA-1 in a row, over the secret, the other domain and the stream id. The
// server's own name is not in it.
func chainedKey(secret string, c challenge) string {
	key := hexSHA1(secret)
	key = hexSHA1(key + c.Receiving)
	return hexSHA1(key + c.ID)
}

func hexSHA1(s string) string {
	sum := sha1.Sum([]byte(s))
	return hex.EncodeToString(sum[:])
}

// Hooks let the user of a server take part in it. All may be left out.
type Hooks struct {
	// Receive takes every stanza of a proved pair in place of the users.
	Receive func(Stanza)
	// Take gets the connection of a proved inbound pair from its first stanza on; that is the first to be read from it. The
	// server parses, counts and answers nothing on it any more.
	Take func(Pair, net.Conn)
	// Admit may refuse a pair that asks to be proved; its error is the text of the stream error, policy-violation.
	Admit func(Pair) error
	// Watch is told of each stream that came up or ended. It must not block.
	Watch func(LinkEvent)
	// Dial opens the outgoing connections; default: an ordinary dialer. The pair is for those who spread their sources.
	Dial func(ctx context.Context, p Pair, address string) (net.Conn, error)
}

// Pair is one direction between two domains, from the view of the server that holds it.
type Pair struct{ Local, Remote string }

// LinkEvent is a stream that came up (Err is nil) or ended.
type LinkEvent struct {
	Pair    Pair
	Inbound bool
	Up      bool
	Err     error // why it ended: *StreamError when either side said so, io.EOF for an ordinary end
}
