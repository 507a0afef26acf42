package console_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"sallyport/internal/console"
)

func TestNoteOverTheSocket(t *testing.T) {
	t.Parallel()
	socket := filepath.Join(t.TempDir(), "admin.sock")
	var got []console.Note
	defer serving(t, socket, &console.Server{Log: slog.New(slog.DiscardHandler), Record: func(_ context.Context, uid int, n console.Note) (console.Recorded, error) {
		if uid != os.Getuid() {
			t.Errorf("uid %d asks, and it is %d", uid, os.Getuid())
		}
		got = append(got, n)
		switch n.Kind {
		case "stanza":
			return console.Recorded{}, fmt.Errorf("%w: stanza", console.ErrBadNote)
		case "audit.export":
			return console.Recorded{}, errors.New("no space left")
		}
		return console.Recorded{Seq: 7, ID: "x"}, nil
	}})()
	want := console.Note{Kind: "audit.open", As: "maria", Why: "case 2026-117", Query: "id X", Count: 1, Key: "k", Segment: "s", SHA256: "h"}
	if r, err := console.Noted(t.Context(), socket, want); err != nil || r.Seq != 7 || r.ID != "x" {
		t.Errorf("Noted = %+v, %v", r, err)
	}
	if len(got) != 1 || !reflect.DeepEqual(got[0], want) {
		t.Errorf("the gate got %+v", got)
	}
	for kind, reason := range map[string]string{"stanza": "not recorded: stanza", "audit.export": "no space left"} {
		if _, err := console.Noted(t.Context(), socket, console.Note{Kind: kind}); err == nil || err.Error() != reason {
			t.Errorf("%s: %v", kind, err)
		}
	}
}

// A local user who is neither root nor the gate's is refused whatever he asks, though the socket's mode lets him in.
func TestStrangersOnTheMachineAreRefused(t *testing.T) {
	if os.Getuid() != 0 || runtime.GOOS != "linux" {
		t.Skip("only root can become somebody else")
	}
	dir := t.TempDir()
	socket := filepath.Join(dir, "admin.sock")
	defer serving(t, socket, &console.Server{Log: slog.New(slog.DiscardHandler), Status: func() console.Status { return console.Status{} },
		Record: func(context.Context, int, console.Note) (console.Recorded, error) {
			t.Error("a stranger's note was recorded")
			return console.Recorded{}, nil
		}})()
	for path := dir; path != os.TempDir() && path != "/"; path = filepath.Dir(path) {
		if err := os.Chmod(path, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(socket, 0o666); err != nil {
		t.Fatal(err)
	}
	stranger := &http.Client{Transport: &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return dialAs(65534, socket) }}}
	defer stranger.CloseIdleConnections()
	for _, ask := range []func() (*http.Response, error){
		func() (*http.Response, error) { return stranger.Get("http://gate/status") },
		func() (*http.Response, error) { return stranger.Get("http://gate/profile/heap") },
		func() (*http.Response, error) {
			return stranger.Post("http://gate/audit/note", "application/json", strings.NewReader(`{"kind":"audit.search"}`))
		},
	} {
		resp, err := ask()
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusForbidden {
			t.Errorf("%s is answered with %s", resp.Request.URL, resp.Status)
		}
	}
}
