package audit

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"hash"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// HashRecord has what lets "was exactly this sent, by whom" be asked of a line that does not tell: HMAC-SHA256 under the gate's
// hash.key, base64. Who lacks the key cannot try out texts or names, and sees which are alike on one day (UTC) alone: the day is in the hash.
type HashRecord struct {
	Body string `json:"body,omitempty" doc:"keyed hash of the first body's text, whole, as it reads, and of the day"`
	From string `json:"from,omitempty" doc:"keyed hash of the sender's bare address and of the day, at level link"`
	To   string `json:"to,omitempty" doc:"keyed hash of the recipient's bare address and of the day, at level link"`
}

// Hasher makes keyed hashes. It is not safe for concurrent use.
type Hasher struct {
	mac hash.Hash
	sum [sha256.Size]byte
}

const (
	hashKeyName = "hash.key" // in Config.Secrets
	hashKeySize = 32
)

// LoadHasher reads the key of a record's hashes, and makes it where there is none. The error is that of the file, or for one that
// holds no such key, or that others can read.
func LoadHasher(c Config) (*Hasher, error) {
	c = c.withDefaults()
	text, err := secretFile(c.Secrets, hashKeyName, func() ([]byte, error) {
		key := make([]byte, hashKeySize)
		rand.Read(key) // never fails: the program ends first
		return append(base64.StdEncoding.AppendEncode(nil, key), '\n'), nil
	})
	if err != nil {
		return nil, fmt.Errorf("the key of the record's hashes: %w", err)
	}
	key, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(text)))
	if err != nil || len(key) != hashKeySize {
		return nil, fmt.Errorf("the key of the record's hashes: %s does not hold %d bytes in base64", filepath.Join(c.Secrets, hashKeyName), hashKeySize)
	}
	return newHasher(key), nil
}

// presentHasher reads the key where it is and may be read, and else gives none: who has a copy of a record has no key.
func presentHasher(secrets string) (*Hasher, error) {
	_, err := os.Stat(filepath.Join(secrets, hashKeyName))
	if err == nil {
		var h *Hasher
		if h, err = LoadHasher(Config{Secrets: secrets}); err == nil {
			return h, nil
		}
	}
	if gone(err) || errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.ENOTDIR) {
		return nil, nil
	}
	return nil, err
}

func newHasher(key []byte) *Hasher { return &Hasher{mac: hmac.New(sha256.New, key)} }

// What is hashed begins with what it is, so that the hash of a text is never that of an address.
var (
	hashesBody    = []byte("body\x00")
	hashesAddress = []byte("address\x00")
	hashesIndex   = []byte("index\x00")
)

// Body gives the keyed hash of a text, as it stands in a line of a day.
func (h *Hasher) Body(day time.Time, text []byte) string {
	return string(h.append(nil, hashesBody, dayOf(day), text))
}

// Address gives the keyed hash of an address without its resource, as it stands in a line of a day.
func (h *Hasher) Address(day time.Time, addr string) string {
	return string(h.append(nil, hashesAddress, dayOf(day), []byte(bare(addr))))
}

// index gives what vouches for the index whose head has a sum.
func (h *Hasher) index(sum []byte) []byte {
	h.mac.Reset()
	h.mac.Write(hashesIndex)
	h.mac.Write(sum)
	return h.mac.Sum(nil)
}

func dayOf(t time.Time) []byte { return t.UTC().AppendFormat(nil, time.DateOnly) }

func (h *Hasher) append(dst, what, day, text []byte) []byte {
	h.mac.Reset()
	h.mac.Write(what)
	h.mac.Write(day)
	h.mac.Write(text)
	return base64.RawStdEncoding.AppendEncode(dst, h.mac.Sum(h.sum[:0]))
}

func bare(addr string) string {
	addr, _, _ = strings.Cut(addr, "/")
	return addr
}

// hashes writes what can be asked of the stanza though the line does not say it.
func (n *encoder) hashes(e *Event, stamp []byte, level Level) {
	if n.hasher == nil {
		return
	}
	day := stamp[:len(time.DateOnly)]
	start := n.open(`,"hash":`)
	if level >= LevelSealed && len(e.Content.Body) > 0 {
		n.hash(`,"body":"`, hashesBody, day, e.Content.Body)
	}
	if level == LevelLink {
		if e.From != "" {
			n.hash(`,"from":"`, hashesAddress, day, bytesOf(bare(e.From)))
		}
		if e.To != "" {
			n.hash(`,"to":"`, hashesAddress, day, bytesOf(bare(e.To)))
		}
	}
	n.close(start)
}

func (n *encoder) hash(key string, what, day, text []byte) {
	n.buf = append(n.buf, key...)
	n.buf = n.hasher.append(n.buf, what, day, text)
	n.buf = append(n.buf, '"')
}
