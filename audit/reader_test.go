package audit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
)

// TestReaderResumes reads across rotation and compression, from a new reader at each place, and misses and repeats nothing.
func TestReaderResumes(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	log, err := Open(Config{Dir: dir, Node: "gate-1", SegmentBytes: 2048, Durability: Async})
	if err != nil {
		t.Fatal(err)
	}
	const n = 60
	var want []ID
	var got []ID
	var at Place
	readAll := func() {
		for {
			r := NewReader(dir, at)
			_, rec, err := r.Next(log.Stats().Seq)
			if errors.Is(err, io.EOF) {
				r.Close()
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if at = r.Place(); at.Seq != rec.Seq {
				t.Fatalf("the place says seq %d behind event %d", at.Seq, rec.Seq)
			}
			r.Close()
			if rec.Kind == Stanza.String() {
				got = append(got, rec.ID)
			}
		}
	}
	for i := range n {
		events := []Event{{Kind: Stanza, Level: LevelMetadata, From: fmt.Sprintf("u%d@a.example", i), To: "b@b.example"}}
		if err := log.Append(context.Background(), events); err != nil {
			t.Fatal(err)
		}
		want = append(want, events[0].ID)
		if i%20 == 19 {
			readAll()
		}
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	readAll()
	if len(got) != n {
		t.Fatalf("read %d of %d", len(got), n)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Fatalf("event %d is %s, want %s", i, got[i], want[i])
		}
	}
	if at.Segment < 3 {
		t.Fatalf("only %d segments: nothing was rotated", at.Segment)
	}
	r := NewReader(dir, Place{Segment: 900, Offset: 5})
	defer r.Close()
	if _, _, err := r.Next(1 << 40); !errors.Is(err, ErrAhead) {
		t.Errorf("a place beyond the record: %v, want ErrAhead", err)
	}
}

// TestReaderWaitsForCommit: a line that is not known to be committed is not given, and is given afterwards.
func TestReaderWaitsForCommit(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	log, err := Open(Config{Dir: dir, Node: "gate-1"})
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	events := []Event{{Kind: Stanza, Level: LevelMetadata}, {Kind: Stanza, Level: LevelMetadata}}
	if err := log.Append(context.Background(), events); err != nil {
		t.Fatal(err)
	}
	r := NewReader(dir, Place{})
	defer r.Close()
	for committed := events[0].Seq; committed <= events[1].Seq; committed++ {
		var last uint64
		for {
			_, rec, err := r.Next(committed)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			last = rec.Seq
		}
		if last != committed {
			t.Errorf("read up to %d, committed is %d", last, committed)
		}
	}
}
