package audit

import (
	"os"
	"path/filepath"
	"testing"
)

// Two processes may come to the same key at once: both sign with the one that is on disk.
func TestSecretMadeMeanwhile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	got, err := secretFile(dir, "key", func() ([]byte, error) {
		return []byte("late"), os.WriteFile(filepath.Join(dir, "key"), []byte("first"), 0o600)
	})
	if err != nil || string(got) != "first" {
		t.Fatalf("%q, %v", got, err)
	}
}
