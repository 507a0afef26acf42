// Package contacts remembers to whom people of the house have written, for policies by which strangers may not write first. It holds no
// addresses, only hashes of pairs of them.
package contacts

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
)

// Config says where the contacts are kept.
type Config struct {
	File  string `yaml:"file" default:"/var/lib/sallyport/contacts" doc:"where the gate remembers who has written to whom, as hashes; kept only while the policy reads input.contact"`
	Limit int    `yaml:"limit" default:"1000000" doc:"pairs of addresses that are remembered, 16 bytes each in the file and about 60 in memory; when there are more, a quarter of them is forgotten, the oldest first"`
}

const size = 16

type pair [size]byte

// Book is the memory. Its methods may be called from any goroutine.
type Book struct {
	config Config

	mu    sync.Mutex
	known map[pair]bool
	order []pair // the oldest first
	file  *os.File

	closed bool
}

// New makes a book of the file, which is read, or made, when somebody first asks.
func New(c Config) *Book { return &Book{config: c, known: map[pair]bool{}} }

// open reads the file. What a crash has left of a last pair is cut off.
func (b *Book) open() error {
	if b.file != nil || b.closed {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(b.config.File), 0o750); err != nil {
		return err
	}
	text, err := os.ReadFile(b.config.File)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for len(text) >= size {
		b.add(pair(text[:size]))
		text = text[size:]
	}
	if b.file, err = os.OpenFile(b.config.File, os.O_CREATE|os.O_RDWR, 0o600); err != nil {
		return err
	}
	return b.rewrite()
}

// hash names a pair. Addresses have no zero byte in them.
func hash(local, remote string) pair {
	sum := sha256.Sum256([]byte(local + "\x00" + remote))
	return pair(sum[:size])
}

func (b *Book) add(p pair) bool {
	if b.known[p] {
		return false
	}
	b.known[p] = true
	b.order = append(b.order, p)
	return true
}

// Has tells whether the bare address of ours has written to the remote one. A nil Book knows nobody.
func (b *Book) Has(local, remote string) bool {
	if b == nil {
		return false
	}
	p := hash(local, remote)
	b.mu.Lock()
	defer b.mu.Unlock()
	_ = b.open() // Note tells
	return b.known[p]
}

// Note remembers that the bare address of ours writes to the remote one. An error is of the file; the pair is known nevertheless, until the
// gate ends.
func (b *Book) Note(local, remote string) error {
	if b == nil {
		return nil
	}
	p := hash(local, remote)
	b.mu.Lock()
	defer b.mu.Unlock()
	err := b.open()
	switch {
	case !b.add(p) || b.closed:
	case err != nil:
	case len(b.order) > b.config.Limit:
		err = b.rewrite()
	default:
		_, err = b.file.Write(p[:])
	}
	if err != nil {
		return fmt.Errorf("contacts: %w", err)
	}
	return nil
}

// rewrite forgets what is too much and writes the file anew.
func (b *Book) rewrite() error {
	if over := len(b.order) - b.config.Limit; over > 0 {
		over += b.config.Limit / 4
		for _, p := range b.order[:over] {
			delete(b.known, p)
		}
		b.order = append([]pair(nil), b.order[over:]...)
	}
	text := make([]byte, 0, len(b.order)*size)
	for i := range b.order {
		text = append(text, b.order[i][:]...)
	}
	// The file is only ever a list of what is known: one that a crash has cut is a shorter list.
	if err := b.file.Truncate(0); err != nil {
		return err
	}
	if _, err := b.file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	_, err := b.file.Write(text)
	return err
}

// Close makes the file last.
func (b *Book) Close() error {
	if b == nil {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	if b.file == nil {
		return nil
	}
	return errors.Join(b.file.Sync(), b.file.Close())
}
