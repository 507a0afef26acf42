package audit

import (
	"crypto/cipher"
	"crypto/sha256"
	"time"

	"golang.org/x/crypto/chacha20poly1305"
)

// keySize is that of every key of sealing, in bytes.
const keySize = 32

// chain is a ratchet of keys: from each the next is made, and none from a later one. Its first key is sealed to the officers; the
// gate holds the newest alone. It only ever goes on: a message that is taken back, because its commit failed, has used its key up.
type chain struct {
	key    [keySize]byte
	n      uint64 // messages it has given keys to
	name   string // CLASS/PERIOD-N
	period string

	touched time.Time // when something was to be sealed last; guarded by Log.mu
}

// next gives the number and the key of one more message, and overwrites what both were made from.
func (c *chain) next() (n uint64, message [keySize]byte) {
	message = prf(&c.key, 1)
	c.key = prf(&c.key, 2)
	c.n++
	return c.n, message
}

// prf is HMAC-SHA256 (RFC 2104) of one byte, without the memory that crypto/hmac asks for per key.
func prf(key *[keySize]byte, label byte) [keySize]byte {
	var inner [sha256.BlockSize + 1]byte
	var outer [sha256.BlockSize + sha256.Size]byte
	for i := range sha256.BlockSize {
		inner[i], outer[i] = 0x36, 0x5c
	}
	for i, b := range key {
		inner[i] ^= b
		outer[i] ^= b
	}
	inner[sha256.BlockSize] = label
	sum := sha256.Sum256(inner[:])
	copy(outer[sha256.BlockSize:], sum[:])
	return sha256.Sum256(outer[:])
}

// aeadOf is ChaCha20-Poly1305 (RFC 8439) under a message's key.
func aeadOf(message [keySize]byte) cipher.AEAD {
	aead, err := chacha20poly1305.New(message[:])
	if err != nil {
		panic(err) // the key has its length
	}
	return aead
}

// boxNonce is the same for every box: a key seals one message.
var boxNonce [chacha20poly1305.NonceSize]byte
