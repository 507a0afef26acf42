package audit

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
)

// Hit is an event that was found. The line is valid until the next one is asked for.
type Hit struct {
	Dir    string
	Line   []byte
	Record Record
}

// SearchAll is [Search] over the records of several gates, or parts of one: their events come in order of time, of one moment in that
// of node and seq, and each record's in its own. An event that two directories have is given once. A *DamageError tells of all of them.
func SearchAll(ctx context.Context, dirs []string, q Query, yield func(Hit) error) error {
	var streams []*stream
	for _, dir := range dirs {
		streams = append(streams, streaming(dir, func(yield func([]byte, Record) error) error { return Search(ctx, dir, q, yield) }))
	}
	found := 0
	err := merge(streams, func(h Hit) error {
		if err := yield(h); err != nil {
			return err
		}
		if found++; found == q.Limit {
			return errEnough
		}
		return nil
	})
	if errors.Is(err, errEnough) {
		return nil
	}
	return err
}

// merge gives what several streams have, in order of time, and what two of them have once.
func merge(streams []*stream, yield func(Hit) error) error {
	for _, s := range streams {
		defer s.stop()
		s.advance()
	}
	var last ID
	for {
		for _, s := range streams {
			if s.err != nil && !errors.As(s.err, new(*DamageError)) {
				return s.err
			}
		}
		s := earliest(streams)
		if s == nil {
			return damageOf(streams)
		}
		if s.head.Record.ID != last {
			if err := yield(s.head); err != nil {
				return err
			}
			last = s.head.Record.ID
		}
		s.advance()
	}
}

// stream is the reading of one directory, of which the next event is known.
type stream struct {
	dir  string
	next func() (Hit, bool)
	stop func()
	head Hit
	more bool
	err  error // when there is no more
}

func streaming(dir string, read func(yield func([]byte, Record) error) error) *stream {
	s := &stream{dir: dir}
	s.next, s.stop = iter.Pull(func(yield func(Hit) bool) {
		s.err = read(func(line []byte, r Record) error {
			if !yield(Hit{dir, line, r}) {
				return errEnough
			}
			return nil
		})
	})
	return s
}

func (s *stream) advance() { s.head, s.more = s.next() }

func earliest(streams []*stream) (first *stream) {
	for _, s := range streams {
		if s.more && (first == nil || before(&s.head.Record, &first.head.Record)) {
			first = s
		}
	}
	return first
}

func before(a, b *Record) bool {
	return cmp.Or(a.Time.Compare(b.Time), cmp.Compare(a.Node, b.Node), cmp.Compare(a.Seq, b.Seq), bytes.Compare(a.ID[:], b.ID[:])) < 0
}

// damageOf is what was wrong with all of them together.
func damageOf(streams []*stream) error {
	var all DamageError
	for _, s := range streams {
		var damage *DamageError
		if !errors.As(s.err, &damage) {
			if s.err != nil {
				return s.err
			}
			continue
		}
		if all.Lines == 0 {
			all.First = damage.First
			if len(streams) > 1 {
				all.First = fmt.Sprintf("%s/%s", s.dir, damage.First)
			}
		}
		all.Lines += damage.Lines
	}
	if all.Lines > 0 {
		return &all
	}
	return nil
}
