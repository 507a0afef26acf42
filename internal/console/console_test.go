package console_test

import (
	"context"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"testing"

	"sallyport/internal/console"
)

func serve(t *testing.T, socket string) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	srv := &console.Server{Socket: socket, Log: slog.New(slog.DiscardHandler), Status: func() console.Status { return console.Status{Version: "test", PID: 7} }}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(ctx) }()
	for {
		if conn, err := net.Dial("unix", socket); err == nil {
			conn.Close()
			break
		}
		select {
		case err := <-done:
			t.Fatal(err)
		default:
		}
	}
	return func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

func TestStatusOverTheSocket(t *testing.T) {
	t.Parallel()
	socket := filepath.Join(t.TempDir(), "admin.sock")
	defer serve(t, socket)()
	var got console.Status
	if err := console.Ask(t.Context(), socket, "/status", &got); err != nil || got.Version != "test" || got.PID != 7 {
		t.Errorf("Ask = %+v, %v", got, err)
	}
	info, err := os.Stat(socket)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the socket has mode %v (%v), want 0600: only its owner may ask", info.Mode(), err)
	}
}

func TestStaleSocketIsReplacedAndALiveOneIsNot(t *testing.T) {
	t.Parallel()
	socket := filepath.Join(t.TempDir(), "admin.sock")
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: socket, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	ln.SetUnlinkOnClose(false)
	ln.Close()
	if _, err := os.Stat(socket); err != nil {
		t.Fatal("the stale socket is not there:", err)
	}
	stop := serve(t, socket)
	defer stop()
	second := &console.Server{Socket: socket, Log: slog.New(slog.DiscardHandler), Status: func() console.Status { return console.Status{} }}
	if err := second.Serve(t.Context()); err == nil {
		t.Error("a second gate took over the admin socket of a live one")
	}
}

func TestAskWithoutAGate(t *testing.T) {
	t.Parallel()
	var v any
	err := console.Ask(t.Context(), filepath.Join(t.TempDir(), "none.sock"), "/status", &v)
	if err == nil {
		t.Fatal("an answer from nobody")
	}
	if _, ok := err.(*fs.PathError); ok {
		t.Error("the error does not say what to do:", err)
	}
}
