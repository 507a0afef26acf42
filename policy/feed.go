package policy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// Source is where a [Feed] gets a supply from.
type Source interface {
	// Fetch asks for the present state. tag is that of the state in force, empty for none; ErrUnchanged says that this still is it.
	Fetch(ctx context.Context, tag string) (text []byte, now string, err error)
	// Open makes a supply of what Fetch gave, now or in an earlier life of the gate. inForce is the one before, nil for none.
	Open(text []byte, inForce *Supply) (Supply, error)
}

// ErrUnchanged says that a source has nothing new.
var ErrUnchanged = errors.New("nothing has changed")

// Feed keeps a supply up to date: it asks a source from time to time and has what is new put in force. What was in force last is kept in a
// file, so that a gate can start while the source is down. Whatever goes wrong, what is in force stays.
type Feed struct {
	Origin  string
	Source  Source
	File    string        // made with mode 0600
	Every   time.Duration // between two questions
	Timeout time.Duration // of one
	Stale   time.Duration // nobody has confirmed for so long: told
	Log     *slog.Logger
	Refused func(error) // told once of each reason; nil: nobody

	mu        sync.Mutex
	text      []byte // what is in force
	tag       string
	supply    *Supply
	confirmed time.Time // when the source last said what is in force
	problem   string    // of the last question; empty: none
	stale     bool      // and that is told
	unkept    bool      // what is in force is not in File yet
}

// FeedStatus is how a feed stands.
type FeedStatus struct {
	Source    string    `json:"source"`
	Version   string    `json:"version,omitempty"` // what its maker calls it
	Confirmed time.Time `json:"confirmed"`         // when the source last said that this is the present state
	Stale     bool      `json:"stale"`
	Problem   string    `json:"problem,omitempty"` // of the last question
}

// Status tells how it stands.
func (f *Feed) Status() FeedStatus {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := FeedStatus{Source: f.Origin, Confirmed: f.confirmed, Stale: time.Since(f.confirmed) > f.Stale, Problem: f.problem}
	if f.supply != nil {
		s.Version = f.supply.Version
	}
	return s
}

// Kept is what was in force last, out of File. The error is fs.ErrNotExist when there is nothing.
func (f *Feed) Kept() (Supply, error) {
	st, err := os.Stat(f.File)
	if err != nil {
		return Supply{}, err
	}
	text, err := os.ReadFile(f.File)
	if err != nil {
		return Supply{}, err
	}
	s, err := f.Source.Open(text, nil)
	if err != nil {
		return Supply{}, fmt.Errorf("%s: %w", f.File, err)
	}
	f.took(text, "", s, st.ModTime())
	return s, nil
}

// First is what a gate starts with: what is kept or, where there is nothing or it is not right, what the source says now.
func (f *Feed) First(ctx context.Context) (Supply, error) {
	s, kept := f.Kept()
	if kept == nil {
		return s, nil
	}
	if !errors.Is(kept, fs.ErrNotExist) {
		f.Log.Error("what was fetched before cannot be used; it is fetched anew", "source", f.Origin, "reason", oneLine(kept))
	}
	ctx, cancel := context.WithTimeout(ctx, f.Timeout)
	defer cancel()
	text, tag, err := f.Source.Fetch(ctx, "")
	if err == nil {
		s, err = f.Source.Open(text, nil)
	}
	if err != nil {
		return Supply{}, fmt.Errorf("nothing is kept in %s to start with, and fetching it: %w", f.File, err)
	}
	f.took(text, tag, s, time.Now())
	f.unkept = true
	return s, nil
}

// Run asks the source again and again until ctx ends. use puts a supply in force; its error says that it does not go with the rest.
func (f *Feed) Run(ctx context.Context, use func(context.Context, Supply) error) {
	wait := time.Duration(0)
	if f.unkept { // it was fetched just now
		f.keep()
		wait = f.Every
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		if err := f.ask(ctx, use); ctx.Err() == nil {
			f.outcome(err)
		}
		wait = f.Every
	}
}

func (f *Feed) ask(ctx context.Context, use func(context.Context, Supply) error) error {
	f.mu.Lock()
	text, tag, now := f.text, f.tag, f.supply
	f.mu.Unlock()
	limited, cancel := context.WithTimeout(ctx, f.Timeout)
	defer cancel()
	fetched, tagged, err := f.Source.Fetch(limited, tag)
	switch {
	case errors.Is(err, ErrUnchanged):
		f.confirm(tag)
		return nil
	case err != nil:
		return err
	case bytes.Equal(fetched, text):
		f.confirm(tagged)
		return nil
	}
	s, err := f.Source.Open(fetched, now)
	if err != nil {
		return err
	}
	if err := use(ctx, s); err != nil {
		return err
	}
	f.took(fetched, tagged, s, time.Now())
	f.keep()
	return nil
}

func (f *Feed) took(text []byte, tag string, s Supply, at time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.text, f.tag, f.supply, f.confirmed = text, tag, &s, at
}

// confirm notes that the source still says the same. The time of File is that of the last word.
func (f *Feed) confirm(tag string) {
	now := time.Now()
	f.mu.Lock()
	f.tag, f.confirmed = tag, now
	f.mu.Unlock()
	if err := os.Chtimes(f.File, now, now); err != nil {
		f.keep()
	}
}

func (f *Feed) keep() {
	err := os.MkdirAll(filepath.Dir(f.File), 0o700)
	if err == nil {
		err = replaceFile(f.File, f.text)
	}
	if err != nil {
		f.Log.Error("what is in force cannot be kept; the next start will have to fetch it", "source", f.Origin, "reason", oneLine(err), "advice", "space, permissions, disk")
	}
}

// outcome tells of each change of how it goes, once.
func (f *Feed) outcome(err error) {
	problem := ""
	if err != nil {
		problem = oneLine(err)
	}
	f.mu.Lock()
	before, age := f.problem, time.Since(f.confirmed)
	f.problem = problem
	late := age > f.Stale && !f.stale
	f.stale = age > f.Stale
	f.mu.Unlock()
	switch {
	case problem == before:
	case problem == "":
		f.Log.Info("a source of the policy is well again", "source", f.Origin)
	default:
		f.Log.Error("a source of the policy gives nothing that can be used; what is in force stays", "source", f.Origin, "reason", problem)
		if f.Refused != nil {
			f.Refused(fmt.Errorf("%s: %w", f.Origin, err))
		}
	}
	if late {
		f.Log.Warn("what is in force is old: its source has not confirmed it for long", "source", f.Origin, "age", age.Round(time.Second).String(), "told_after", f.Stale.String())
	}
}
