package ratchet

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Book is the memory of all remote domains. It is safe for concurrent use.
type Book struct {
	// Set at birth.
	lock *os.File
	log  *slog.Logger
	file string

	saving sync.Mutex // one write at a time, so that the last one is the newest

	// Guarded by mu.
	mu      sync.Mutex
	config  Config
	peers   map[string]*Peer
	dirty   bool      // something was learnt
	stirred time.Time // when a peer was first seen again since the last write; zero: none was
	failing bool      // the last write failed, and that was told
	full    bool      // and that, too
}

// stale is how long a domain must not have been seen to make room for another.
const stale = 90 * 24 * time.Hour

// saveEvery is how often what was learnt is written; what a crash loses is learnt anew. That peers were seen again, and nothing else, is
// written every countEvery: the file is written whole, and a busy gate sees them all the time.
const (
	saveEvery  = 10 * time.Second
	countEvery = 10 * time.Minute
)

// document is the file.
type document struct {
	Version int     `json:"version"`
	Peers   []*Peer `json:"peers"`
}

// Open reads the book of c.File, or begins an empty one. With Mode off it keeps nothing. Its errors: a file that cannot be read
// or is damaged, and one that another process has open.
func Open(c Config, log *slog.Logger) (*Book, error) {
	b := &Book{config: c, file: c.File, log: log, peers: make(map[string]*Peer)}
	if c.Mode == "off" {
		return b, nil
	}
	if err := os.MkdirAll(filepath.Dir(c.File), 0o700); err != nil {
		return nil, fmt.Errorf("making its folder: %w", err)
	}
	if err := b.claim(); err != nil {
		return nil, err
	}
	if err := b.read(); err != nil {
		b.lock.Close()
		return nil, err
	}
	b.sweep()
	return b, nil
}

// sweep removes what a crash left of a write that was not finished.
func (b *Book) sweep() {
	left, _ := filepath.Glob(b.file + ".*") // the pattern is good, or there is nothing to find
	for _, path := range left {
		if _, err := strconv.ParseUint(strings.TrimPrefix(path, b.file+"."), 10, 64); err == nil {
			// If it stays, it takes some room.
			_ = os.Remove(path)
		}
	}
}

// claim takes the lock that keeps two processes from writing one file.
func (b *Book) claim() error {
	f, err := os.OpenFile(b.config.File+".lock", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		return fmt.Errorf("%s: %w", b.config.File, ErrInUse)
	}
	b.lock = f
	return nil
}

// ErrInUse says that another process, as a running gate, has the book open.
var ErrInUse = errors.New("another process has it open")

func (b *Book) read() error {
	text, err := os.ReadFile(b.config.File)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var d document
	if err := json.Unmarshal(text, &d); err != nil || d.Version != 1 {
		return fmt.Errorf("%s is damaged or of another version (%w); put a good copy back, or move it away to learn anew", b.config.File, cmp.Or(err, errors.New("version")))
	}
	for _, p := range d.Peers {
		if p != nil && p.Domain != "" {
			b.peers[p.Domain] = p
		}
	}
	return nil
}

// Run writes what was learnt until ctx ends, and then once more.
func (b *Book) Run(ctx context.Context) {
	tick := time.NewTicker(saveEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			b.tell(b.save(false))
		case <-ctx.Done():
			b.tell(b.Close())
			return
		}
	}
}

// tell logs the first of a series of failures, and its end. What is known stays known in any case.
func (b *Book) tell(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case err != nil && !b.failing:
		b.log.Error("what peers proved cannot be written; it is remembered until the gate stops", "error", err, "advice", "see ratchet.file: space, permissions, disk")
	case err == nil && b.failing:
		b.log.Info("what peers proved is written again")
	}
	b.failing = err != nil
}

// Close writes what was learnt and gives the file free.
func (b *Book) Close() error {
	err := b.save(true)
	if b.lock != nil {
		b.lock.Close()
	}
	return err
}

// save replaces the file by a new one, whole or not at all. The last time it writes who was seen, too.
func (b *Book) save(last bool) error {
	b.saving.Lock()
	defer b.saving.Unlock()
	b.mu.Lock()
	if b.config.Mode == "off" || !b.dirty && (b.stirred.IsZero() || !last && time.Since(b.stirred) < countEvery) {
		b.mu.Unlock()
		return nil
	}
	b.dirty, b.stirred = false, time.Time{}
	d := document{Version: 1}
	for _, p := range b.sorted() {
		c := p.clone()
		d.Peers = append(d.Peers, &c)
	}
	b.mu.Unlock()
	text, err := json.MarshalIndent(d, "", "\t")
	if err == nil {
		err = replace(b.file, text)
	}
	if err != nil {
		b.mu.Lock()
		b.dirty = true
		b.mu.Unlock()
	}
	return err
}

func replace(path string, text []byte) error {
	folder := filepath.Dir(path)
	f, err := os.CreateTemp(folder, filepath.Base(path)+".*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	d, err := os.Open(folder)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// sorted needs mu.
func (b *Book) sorted() []*Peer {
	return slices.SortedFunc(maps.Values(b.peers), func(x, y *Peer) int { return cmp.Compare(x.Domain, y.Domain) })
}

// Configure puts other terms in force. The file stays the one that was opened.
func (b *Book) Configure(c Config) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.lock == nil {
		c.Mode = "off" // there is no book to keep; a restart opens one
	}
	b.config = c
}

// Known says what a link is held to. It is asked before policy decides, and changes nothing.
func (b *Book) Known(s Sighting) Known {
	b.mu.Lock()
	defer b.mu.Unlock()
	if p := b.peers[s.Domain]; p != nil {
		return p.Known(b.config, s)
	}
	return Known{}
}

// Tightens is when a link that stands will be held to more than it shows, as far as is known now; zero for never.
func (b *Book) Tightens(s Sighting) time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	p := b.peers[s.Domain]
	if p == nil {
		return time.Time{}
	}
	now, face := time.Now(), p.face(s.Direction)
	at := face.Channel.tightens("channel", s.Channel, b.config, now)
	if t := face.Proof.tightens("proof", s.Proof, b.config, now); at.IsZero() || !t.IsZero() && t.Before(at) {
		at = t
	}
	return at
}

// Record notes what a link showed that policy let through, and returns what an auditor should hear.
func (b *Book) Record(s Sighting) []Change {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.config.Mode == "off" {
		return nil
	}
	now := time.Now()
	p := b.peers[s.Domain]
	if p == nil {
		if p = b.admit(s.Domain, now); p == nil {
			return nil
		}
	}
	if b.stirred.IsZero() {
		b.stirred = now
	}
	p.Last = now
	p.Links++
	var news []Change
	face := p.face(s.Direction)
	before, keys := *face, len(p.Keys)
	if face.Channel.raise("channel", s.Channel, b.config, now) {
		news = append(news, Change{Kind: Downgrade, What: "channel", Old: face.Channel.Best, New: s.Channel})
	}
	if face.Proof.raise("proof", s.Proof, b.config, now) {
		news = append(news, Change{Kind: Downgrade, What: "proof", Old: face.Proof.Best, New: s.Proof})
	}
	news = append(news, p.meet(s, now)...)
	b.dirty = b.dirty || *face != before || len(p.Keys) != keys || len(news) > 0
	return news
}

// admit makes room for a domain that was never seen; nil when there is none. Who was seen lately is not forgotten for a stranger's
// sake, or strangers could make the book forget.
func (b *Book) admit(domain string, now time.Time) *Peer {
	if len(b.peers) >= b.config.Domains {
		maps.DeleteFunc(b.peers, func(_ string, p *Peer) bool { return now.Sub(p.Last) > stale && len(p.Pins) == 0 })
	}
	if full := len(b.peers) >= b.config.Domains; full != b.full {
		b.full = full
		if full {
			b.log.Warn("no room to remember what new peers prove", "domains", len(b.peers), "advice", "raise ratchet.domains")
		}
	}
	if b.full {
		return nil
	}
	p := &Peer{Domain: domain, First: now, Last: now}
	b.peers[domain] = p
	return p
}
