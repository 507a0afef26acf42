package console_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
)

func TestProfiles(t *testing.T) {
	t.Parallel()
	socket := filepath.Join(t.TempDir(), "admin.sock")
	defer serve(t, socket)()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}}}
	for _, c := range []struct {
		path   string
		status int
		begins string
	}{
		{"cpu?seconds=0.01", http.StatusOK, "\x1f\x8b"}, // as go tool pprof reads it
		{"heap", http.StatusOK, "\x1f\x8b"},
		{"heap?debug=1", http.StatusOK, "heap profile"},
		{"goroutine?debug=2", http.StatusBadRequest, "debug must be"}, // stacks with arguments are nobody's
		{"cpu?seconds=1e9", http.StatusBadRequest, "seconds="},
		{"cpu?seconds=-1", http.StatusBadRequest, "seconds="},
		{"cmdline", http.StatusNotFound, "no profile"},
	} {
		resp, err := client.Get("http://gate/profile/" + c.path)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode != c.status || !strings.HasPrefix(string(body), c.begins) {
			t.Errorf("%s: %s, %q…, %v; want %d, %q", c.path, resp.Status, body[:min(len(body), 40)], err, c.status, c.begins)
		}
	}
}
