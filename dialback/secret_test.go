package dialback

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"
)

func TestSecretCannotBePrinted(t *testing.T) {
	t.Parallel()
	const text = "correct-horse-battery"
	s := mustSecret(t, text)
	type holder struct {
		Open   Secret
		hidden Secret // fmt reaches unexported fields without their methods
		Both   Secrets
		by     *Secret
	}
	h := holder{Open: s, hidden: s, Both: Secrets{Current: s, Previous: s}, by: &s}
	var said bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%c", "%U", "%08b", "%t", "%p"} {
		for _, value := range []any{s, &s, h, &h, []Secret{s}, map[string]Secret{"a": s}, [1]any{s}} {
			fmt.Fprintf(&said, verb+"\n", value)
		}
	}
	fmt.Fprintln(&said, fmt.Errorf("with %v", s), s.String(), s.GoString())
	slog.New(slog.NewTextHandler(&said, nil)).Info("text", "secret", s, "holder", h, "by", &s)
	slog.New(slog.NewJSONHandler(&said, nil)).Info("json", "secret", s, "holder", h, "by", &s)
	encoded, err := json.Marshal(h)
	if err != nil {
		t.Fatal(err)
	}
	said.Write(encoded)
	for _, form := range []string{"%s", "%x", "%X", "%d", "%c", "%U", "%#v"} {
		raw := fmt.Sprintf(form, []byte(text))
		if part := raw[1:min(len(raw), 24)]; strings.Contains(said.String(), part) {
			t.Errorf("the secret can be read as %s in what was printed:\n%s", form, said.String())
		}
	}
	if !strings.Contains(said.String(), "redacted") {
		t.Error("nothing says redacted; was anything printed?")
	}
}

func TestSecretCannotBeCompared(t *testing.T) {
	t.Parallel()
	if reflect.TypeFor[Secret]().Comparable() {
		t.Error("== compiles for Secret, and takes a time that depends on it")
	}
}

func TestNewSecretLength(t *testing.T) {
	t.Parallel()
	for n, want := range map[int]bool{0: false, 15: false, 16: true, 32: true, maxSecret: true, maxSecret + 1: false} {
		if _, err := NewSecret(make([]byte, n)); (err == nil) != want {
			t.Errorf("a secret of %d bytes: %v", n, err)
		}
	}
	raw := []byte("a secret of decent length")
	s := mustSecret(t, string(raw))
	c := Challenge{Receiving: "a", Originating: "b", StreamID: "1"}
	taken, err := NewSecret(raw)
	if err != nil {
		t.Fatal(err)
	}
	clear(raw)
	if !taken.Verify(c, s.Key(c)) {
		t.Error("the secret changes with the caller's bytes")
	}
}

func TestLoadOrCreateMakesItOnce(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "new", "dialback.secret")
	c := Challenge{Receiving: "a", Originating: "b", StreamID: "1"}
	keys := make(chan string)
	for range 8 {
		go func() {
			s, err := LoadOrCreate(path)
			if err != nil {
				t.Error(err)
			}
			keys <- s.Key(c)
			if !s.Previous.IsZero() {
				t.Error("a new secret has one before it")
			}
		}()
	}
	first := <-keys
	for range 7 {
		if key := <-keys; key != first || key == "" {
			t.Errorf("two starts at once have two secrets: %q and %q", first, key)
		}
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file's mode is %v (%v), want 0600", info.Mode(), err)
	}
	text, err := os.ReadFile(path)
	if err != nil || len(strings.TrimSpace(string(text))) < 64 {
		t.Errorf("ABUSE 2: the file has %d bytes (%v), want 32 random ones in hexadecimal", len(text), err)
	}
	left, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(left) != 1 {
		t.Errorf("beside the secret there is %v (%v)", left, err)
	}
	other, err := LoadOrCreate(filepath.Join(t.TempDir(), "dialback.secret"))
	if err != nil || other.Key(c) == first {
		t.Errorf("ABUSE 2: two files have one secret (%v)", err)
	}
}

// ABUSE 2: without a random source there is no secret, and no process that would have none: it ends before there is a file.
func TestNoSecretWithoutRandomness(t *testing.T) {
	path := os.Getenv("SALLYPORT_TEST_SECRET")
	if path != "" {
		rand.Reader = iotest.ErrReader(errors.New("no entropy"))
		LoadOrCreate(path)
		os.Exit(0)
	}
	t.Parallel()
	path = filepath.Join(t.TempDir(), "dialback.secret")
	child := exec.Command(os.Args[0], "-test.run=^TestNoSecretWithoutRandomness$")
	child.Env = append(os.Environ(), "SALLYPORT_TEST_SECRET="+path)
	if out, err := child.CombinedOutput(); err == nil || !strings.Contains(string(out), "crypto/rand") {
		t.Errorf("the process ended with %v and said %s", err, out)
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("there is a file of a secret")
	}
}

func TestLoadRefuses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	good := strings.Repeat("0123456789abcdef", 4)
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, v := range []struct{ name, path, want string }{
		{"readable by all", write("all", good, 0o644), "chmod 600 "},
		{"readable by the group", write("group", good, 0o640), "chmod 600 "},
		{"writable by others", write("others", good, 0o602), "chmod 600 "},
		{"empty", write("empty", "", 0o600), "at least 16"},
		{"too short once trimmed", write("short", strings.Repeat(" ", 40)+"short\n", 0o600), "at least 16"},
		{"too long", write("long", strings.Repeat("x", maxSecret+1), 0o600), "more than"},
		{"endless", write("endless", strings.Repeat(" ", 3*maxSecret)+good, 0o600), "more than"},
		{"a directory", dir, "regular file"},
		{"a pipe", pipe, "regular file"},
		{"a short one before it", write("before", good+"\nshort\n", 0o600), "second line"},
		{"three lines", write("three", strings.Repeat(good+"\n", 3), 0o600), "more than two lines"},
	} {
		_, err := LoadOrCreate(v.path)
		if err == nil || !strings.Contains(err.Error(), v.want) || !strings.Contains(err.Error(), v.path) {
			t.Errorf("%s: %v, want an error with the path and %q", v.name, err, v.want)
		}
		if err != nil && strings.Contains(err.Error(), good[:16]) {
			t.Errorf("%s: the error tells the secret: %v", v.name, err)
		}
	}
	s, err := LoadOrCreate(write("operator", "  correct-horse-battery\n", 0o600))
	if c := (Challenge{Receiving: "a", Originating: "b", StreamID: "1"}); err != nil || !s.Verify(c, mustSecret(t, "correct-horse-battery").Key(c)) {
		t.Errorf("an operator's own secret is not taken as written: %v", err)
	}
}

// [K04]: the second line of the file is the secret of before. It verifies and makes no key.
func TestLoadRotates(t *testing.T) {
	t.Parallel()
	const now, before = "correct-horse-battery", "staple and more of that"
	c := Challenge{Receiving: "a", Originating: "b", StreamID: "1"}
	for name, text := range map[string]string{
		"two lines": now + "\n" + before + "\n", "DOS lines": now + "\r\n" + before + "\r\n", "no last line end": " " + now + " \n\t" + before, "a line between": now + "\n\n" + before + "\n\n",
	} {
		path := filepath.Join(t.TempDir(), "secret")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := LoadOrCreate(path)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if s.Key(c) != mustSecret(t, now).Key(c) || !s.Verify(c, mustSecret(t, now).Key(c)) || !s.Verify(c, mustSecret(t, before).Key(c)) {
			t.Errorf("%s: the secrets are not those of the file", name)
		}
		if s.Verify(c, mustSecret(t, now+"\n"+before).Key(c)) {
			t.Errorf("%s: the file is one secret", name)
		}
	}
}
