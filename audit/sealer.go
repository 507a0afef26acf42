package audit

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"filippo.io/age"
)

// sealer has the keys under which content is sealed: one chain per retention class at a time, each for a period.
type sealer struct {
	// Set at birth.
	cfg        Sealing
	recipients []age.Recipient // none: nothing can be sealed
	disk       disk
	dir        string // of the key files
	node       string

	making sync.WaitGroup // for Close
	turn   chan struct{}  // has one token: one key is made at a time

	// Guarded by turn.
	failed error // of the last attempt
	again  time.Time

	// Guarded by Log.mu.
	chains map[string]*chain // by folder of the retention class
}

// maxChains bounds the classes that policy can make the gate hold keys for. Each has keys of its own, so that what is destroyed with a
// class's keys is that class: the key of one that had nothing to seal for chainRest makes room for another.
const (
	maxChains = 1024
	chainRest = time.Hour // longer than any stanza waits between ready and its line
)

var errManyClasses = fmt.Errorf("policy asks for level sealed in more than %d retention classes within an hour", maxChains)

// errNoOfficers is why nothing can be sealed.
var errNoOfficers = errors.New("policy asks for level sealed, and audit.sealing names no recipients")

func newSealer(c Config, d disk) (*sealer, error) {
	recipients, err := c.Sealing.officers()
	if err != nil {
		return nil, err
	}
	s := &sealer{cfg: c.Sealing, recipients: recipients, disk: d, dir: filepath.Join(c.Dir, keysDir), node: c.Node, turn: make(chan struct{}, 1), chains: map[string]*chain{}}
	s.turn <- struct{}{}
	return s, nil
}

// chainFor gives the chain for an event; nil where the event has nothing to seal, or there is no chain.
func (s *sealer) chainFor(e *Event) *chain {
	if !e.toSeal() {
		return nil
	}
	return s.chains[classFolder(e.Decision.Retention)]
}

// toSeal says whether an event has content for the officers alone.
func (e *Event) toSeal() bool {
	return e.Kind == Stanza && e.Level == LevelSealed && !e.Content.empty()
}

// current says whether a chain can be used for events of now.
func (s *sealer) current(c *chain, now time.Time) bool {
	return c != nil && c.period == periodAt(now, s.cfg.Period) && c.n < uint64(s.cfg.Stanzas)
}

// ready sees to it that there is a key for everything in the batch that is to be sealed, on the disk and synced. The key's own
// event goes ahead of what it seals. While one is made, what waits for none goes on.
func (l *Log) ready(ctx context.Context, events []Event) error {
	for i := range events {
		e := &events[i]
		if !e.toSeal() || l.hasChain(e) {
			continue
		}
		if err := l.begun(ctx, e.Decision.Retention); err != nil {
			return err
		}
	}
	return nil
}

func (l *Log) hasChain(e *Event) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	c, now := l.sealer.chainFor(e), l.now()
	if c != nil {
		c.touched = now
	}
	return l.sealer.current(c, now)
}

// makeRoom gives up the key that has been at rest for longest, if there are as many as there may be.
func (s *sealer) makeRoom(now time.Time) error {
	if len(s.chains) < maxChains {
		return nil
	}
	oldest, at := "", now
	for folder, c := range s.chains {
		if c.touched.Before(at) {
			oldest, at = folder, c.touched
		}
	}
	if now.Sub(at) < chainRest {
		return errManyClasses
	}
	clear(s.chains[oldest].key[:])
	delete(s.chains, oldest)
	return nil
}

// begun makes a key for a class, unless somebody else just has. A disk that does not answer holds up neither ctx's end nor others.
func (l *Log) begun(ctx context.Context, class string) error {
	s := l.sealer
	ctx, cancel := context.WithTimeoutCause(ctx, l.cfg.Patience, unrecorded(errHangs))
	defer cancel()
	select {
	case <-s.turn:
	case <-ctx.Done():
		return fmt.Errorf("waiting for a sealing key: %w", context.Cause(ctx))
	}
	done := make(chan error, 1)
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		s.turn <- struct{}{}
		return ErrClosed
	}
	s.making.Go(func() {
		defer func() { s.turn <- struct{}{} }()
		done <- l.newChain(class)
	})
	l.mu.Unlock()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return fmt.Errorf("waiting for a sealing key: %w", context.Cause(ctx))
	}
}

// newChain makes a key, seals it to the officers, and takes it into use when its file is safe. It has its turn.
func (l *Log) newChain(class string) error {
	s := l.sealer
	l.mu.Lock()
	now, folder := l.now(), classFolder(class)
	old := s.chains[folder]
	done := s.current(old, now)
	var full error
	if old == nil {
		full = s.makeRoom(now)
	}
	l.mu.Unlock()
	switch {
	case done:
		return nil
	case full != nil:
		return unrecorded(full)
	case s.failed != nil && time.Now().Before(s.again):
		return unrecorded(s.failed)
	}
	c := &chain{period: periodAt(now, s.cfg.Period), touched: now}
	rand.Read(c.key[:]) // never fails: the program ends first
	event, err := s.write(folder, c)
	if err != nil {
		if s.failed == nil {
			l.cfg.Log.Error("what is to be sealed cannot be: no key can be made", "class", folder, "error", err, "on_failure", l.cfg.OnFailure)
		}
		s.failed, s.again = err, time.Now().Add(retryEvery)
		clear(c.key[:])
		if old != nil && l.cfg.OnFailure == Pass {
			l.retire(folder)
		}
		return unrecorded(err)
	}
	if s.failed != nil {
		l.cfg.Log.Info("sealing keys can be made again", "class", folder)
	}
	s.failed = nil
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		clear(c.key[:])
		return ErrClosed
	}
	if old != nil {
		clear(old.key[:])
	}
	s.chains[folder] = c
	l.note(event)
	l.signal()
	return nil
}

// retire ends a chain that is over and that no other can follow. What passes meanwhile is recorded without its content, and says so: under
// the old key it could not be opened any more when that is destroyed.
func (l *Log) retire(folder string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if old := l.sealer.chains[folder]; old != nil {
		clear(old.key[:])
		delete(l.sealer.chains, folder)
	}
}

// write puts a chain's first key on the disk, for the officers alone.
func (s *sealer) write(folder string, c *chain) (Event, error) {
	if len(s.recipients) == 0 {
		return Event{}, errNoOfficers
	}
	dir := filepath.Join(s.dir, folder)
	if err := makeDir(s.disk, dir); err != nil {
		return Event{}, fmt.Errorf("making the folder of sealing keys: %w", err)
	}
	number, err := nextNumber(dir, c.period)
	if err != nil {
		return Event{}, err
	}
	c.name = fmt.Sprintf("%s/%s-%d", folder, c.period, number)
	files, err := s.sealed(c)
	if err != nil {
		return Event{}, fmt.Errorf("sealing a key to the officers: %w", err)
	}
	sum := sha256.New()
	for _, f := range files {
		if err := s.save(filepath.Join(s.dir, f.name), f.content); err != nil {
			return Event{}, fmt.Errorf("writing a sealing key: %w", err)
		}
		sum.Write(f.content)
	}
	if err := s.disk.syncDir(dir); err != nil {
		return Event{}, fmt.Errorf("writing a sealing key: %w", err)
	}
	return Event{Kind: AuditKey, Key: c.name, SHA256: hex.EncodeToString(sum.Sum(nil)), Text: s.cfg.terms(len(s.recipients))}, nil
}

// save writes one file and syncs it. What is left of a failure has a number that is not used again.
func (s *sealer) save(path string, content []byte) error {
	f, err := s.disk.create(path)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(content, 0)
	if err == nil {
		err = f.sync()
	}
	return errors.Join(err, f.Close())
}
