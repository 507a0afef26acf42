package console

import (
	"os"
	"path/filepath"
	"testing"
)

// The admin socket is nobody else's from its birth: until it has its mode, it stands where nobody else can come; then nothing is left of
// that place.
func TestSocketIsBornInPrivate(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ln, private, err := bind(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	own, err := os.Stat(filepath.Dir(private))
	if err != nil || own.Mode().Perm() != 0o700 || filepath.Dir(filepath.Dir(private)) != dir {
		t.Errorf("it is bound as %s, in a folder of mode %v (%v)", private, own.Mode(), err)
	}
	if socket, err := os.Stat(private); err != nil || socket.Mode().Perm() != 0o600 {
		t.Errorf("it has mode %v (%v)", socket.Mode(), err)
	}
	whole := t.TempDir()
	made, err := Listen(filepath.Join(whole, "admin.sock"))
	if err != nil {
		t.Fatal(err)
	}
	defer made.Close()
	if left, err := os.ReadDir(whole); err != nil || len(left) != 1 || left[0].Name() != "admin.sock" {
		t.Errorf("the folder has %v (%v)", left, err)
	}
}
