package console_test

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sallyport/internal/console"
	"sallyport/internal/ratchet"
)

func serve(t *testing.T, socket string) (stop func()) {
	t.Helper()
	return serving(t, socket, &console.Server{Log: slog.New(slog.DiscardHandler), Status: func() console.Status { return console.Status{Version: "test", PID: 7} }})
}

func serving(t *testing.T, socket string, srv *console.Server) (stop func()) {
	t.Helper()
	ln, err := console.Listen(socket)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- srv.Serve(ctx, ln) }()
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
	if _, err := console.Listen(socket); !errors.Is(err, console.ErrTaken) {
		t.Error("a second gate took over the admin socket of a live one:", err)
	}
	stop()
	if _, err := os.Lstat(socket); err == nil {
		t.Error("the socket is still there after the end")
	}
}

// A path that somebody mistyped must not cost a file.
func TestWhatIsNoSocketIsLeftAlone(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "sallyport.yaml")
	if err := os.WriteFile(path, []byte("backends: []"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := console.Listen(path); err == nil {
		t.Error("a file was replaced by a socket")
	}
	if b, err := os.ReadFile(path); err != nil || len(b) == 0 {
		t.Errorf("the file is gone: %q, %v", b, err)
	}
}

func TestAskWithoutAGate(t *testing.T) {
	t.Parallel()
	var v any
	err := console.Ask(t.Context(), filepath.Join(t.TempDir(), "none.sock"), "/status", &v)
	if err == nil || !strings.HasSuffix(err.Error(), "none.sock: no such file or directory; is it running?") || strings.Contains(err.Error(), "http") {
		t.Error("Ask without a gate:", err)
	}
}

// A pin that cannot be written is in force, so live links are judged by it; who gave it hears what is wrong.
func TestPeersOnAFullDisk(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "sub", "peers.json")
	socket := filepath.Join(dir, "admin.sock")
	book, err := ratchet.Open(ratchet.Config{File: file, Mode: "enforce", Domains: 10}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer book.Close()
	if err := os.RemoveAll(filepath.Dir(file)); err != nil {
		t.Fatal(err)
	}
	told := 0
	defer serving(t, socket, &console.Server{Log: slog.New(slog.DiscardHandler), Status: func() console.Status { return console.Status{} },
		Peers: &console.Peers{Book: book, Changed: func(string, console.PeerOrder) { told++ }}})()
	pin := console.PeerOrder{Domain: "partner.example", Pins: []string{"sha256/47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="}}
	if err := console.Order(t.Context(), socket, "/peers/pin", pin); err == nil || !strings.Contains(err.Error(), "in force") {
		t.Errorf("the order was answered with %v", err)
	}
	if p, err := book.Show("partner.example"); err != nil || len(p.Pins) != 1 || told != 1 {
		t.Errorf("%+v, %v; told %d times", p, err, told)
	}
}

// What is remembered of peers can be read and changed over the socket, and each change is told.
func TestPeersOverTheSocket(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	socket := filepath.Join(dir, "admin.sock")
	book, err := ratchet.Open(ratchet.Config{File: filepath.Join(dir, "peers.json"), Mode: "enforce", Domains: 10}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer book.Close()
	book.Record(ratchet.Sighting{Domain: "partner.example", Direction: "out", Channel: "tls", Proof: "pkix", SPKI: "k"})
	var told []string
	defer serving(t, socket, &console.Server{Log: slog.New(slog.DiscardHandler), Status: func() console.Status { return console.Status{} },
		Peers: &console.Peers{Book: book, Changed: func(order string, o console.PeerOrder) { told = append(told, order+" "+o.Domain) }}})()
	var all []ratchet.Peer
	if err := console.Ask(t.Context(), socket, "/peers", &all); err != nil || len(all) != 1 || all[0].Out.Proof.Best != "pkix" {
		t.Errorf("%+v, %v", all, err)
	}
	pin := console.PeerOrder{Domain: "partner.example", Pins: []string{"sha256/47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="}}
	for _, order := range []string{"forgive", "pin", "unpin"} {
		if err := console.Order(t.Context(), socket, "/peers/"+order, pin); err != nil {
			t.Errorf("%s: %v", order, err)
		}
	}
	if p, _ := book.Show("partner.example"); p.Out.Proof.Best != "" {
		t.Error("the domain was not forgiven")
	}
	if err := console.Order(t.Context(), socket, "/peers/forgive", console.PeerOrder{Domain: "never.example"}); err == nil || !strings.Contains(err.Error(), "never.example") {
		t.Errorf("an unknown domain: %v", err)
	}
	for _, spelled := range []string{"PARTNER.Example", "partner.example.", "Partner.EXAMPLE."} {
		if err := console.Order(t.Context(), socket, "/peers/unpin", console.PeerOrder{Domain: spelled}); err != nil {
			t.Errorf("%s: %v", spelled, err)
		}
	}
	if err := console.Order(t.Context(), socket, "/peers/pin", console.PeerOrder{Domain: "xn--bcher-kva.example", Pins: pin.Pins}); err != nil {
		t.Error("an A-label:", err)
	}
	if _, err := book.Show("bücher.example"); err != nil {
		t.Error("a domain that was pinned by its A-label is not there:", err)
	}
	for _, wrong := range []string{"", "a b", "user@partner.example"} {
		if err := console.Order(t.Context(), socket, "/peers/forgive", console.PeerOrder{Domain: wrong}); err == nil {
			t.Errorf("%q is taken for a domain", wrong)
		}
	}
	if err := console.Order(t.Context(), socket, "/peers/pin", "nonsense"); err == nil {
		t.Error("an order of another shape was taken")
	}
	if want := []string{"forgive partner.example", "pin partner.example", "unpin partner.example", "unpin partner.example", "unpin partner.example", "unpin partner.example",
		"pin bücher.example"}; !slices.Equal(told, want) {
		t.Errorf("told %q, want %q", told, want)
	}
}
