package contacts

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

func open(t *testing.T, file string, limit int) *Book {
	t.Helper()
	b := New(Config{File: file, Limit: limit})
	t.Cleanup(func() { _ = b.Close() })
	return b
}

func TestRemembered(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "dir", "contacts")
	b := open(t, file, 100)
	if err := b.Note("juliet@corp.example", "romeo@partner.example"); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if !b.Has("juliet@corp.example", "romeo@partner.example") {
			t.Error("not remembered")
		}
		for _, other := range [][2]string{{"romeo@partner.example", "juliet@corp.example"}, {"juliet@corp.example", "tybalt@partner.example"}, {"", ""}} {
			if b.Has(other[0], other[1]) {
				t.Errorf("%q is taken for it", other)
			}
		}
		b = open(t, file, 100)
	}
	if st, err := os.Stat(file); err != nil || st.Mode().Perm() != 0o600 || st.Size() != size {
		t.Errorf("%v, %v", st, err)
	}
	blocked := New(Config{File: filepath.Join(file, "below a file"), Limit: 10})
	if blocked.Has("a", "b") || blocked.Note("a", "b") == nil || !blocked.Has("a", "b") {
		t.Error("a file that cannot be is not told, or what was noted is not known")
	}
	var none *Book
	if none.Note("a", "b") != nil || none.Has("a", "b") || none.Close() != nil {
		t.Error("nobody remembers")
	}
}

// A crash can end the file anywhere: what is whole is kept, and what follows is where it belongs.
func TestCutFile(t *testing.T) {
	t.Parallel()
	for cut := range 2*size + 1 {
		file := filepath.Join(t.TempDir(), "contacts")
		a, b := hash("a", "x"), hash("b", "x")
		if err := os.WriteFile(file, append(a[:], b[:]...)[:cut], 0o600); err != nil {
			t.Fatal(err)
		}
		book := open(t, file, 100)
		if book.Has("a", "x") != (cut >= size) || book.Has("b", "x") != (cut == 2*size) {
			t.Errorf("cut at %d: a %t, b %t", cut, book.Has("a", "x"), book.Has("b", "x"))
		}
		if err := book.Note("c", "x"); err != nil {
			t.Fatal(err)
		}
		if again := open(t, file, 100); !again.Has("c", "x") {
			t.Errorf("cut at %d: what came afterwards is lost", cut)
		}
	}
}

// contacts.limit: the oldest make room.
func TestLimit(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "contacts")
	b := open(t, file, 100)
	for i := range 1000 {
		if err := b.Note(fmt.Sprint(i), "x"); err != nil {
			t.Fatal(err)
		}
		if len(b.known) > 100 || len(b.order) != len(b.known) {
			t.Fatalf("%d pairs, %d in order", len(b.known), len(b.order))
		}
	}
	again := open(t, file, 100)
	if !b.Has("999", "x") || !again.Has("999", "x") || b.Has("0", "x") || again.Has("0", "x") || len(again.known) != len(b.known) {
		t.Errorf("%d pairs, %d in the file", len(b.known), len(again.known))
	}
}
