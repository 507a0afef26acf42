// Package console is the gate's admin socket: a Unix socket, open to its owner alone, over which `sallyport status` asks what
// the gate looks like, and `sallyport peers` changes what is remembered of remote domains. It reads snapshots and never steers a
// stanza.
//
// The protocol is HTTP/1.1 with JSON answers, so that curl --unix-socket can ask too.
package console

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

// Status is the answer to GET /status.
type Status struct {
	Version string `json:"version"`
	PID     int    `json:"pid"`
	Config  string `json:"config"` // the file that is in force
	Gate    any    `json:"gate"`   // proxy.Snapshot
	Certs   any    `json:"certificates"`
}

// Server answers on the admin socket.
type Server struct {
	Socket string                          // path of the Unix socket
	Status func() Status                   // called for each question
	Reload func(ctx context.Context) error // what SIGHUP does
	Peers  *Peers                          // nil: nobody remembers anything
	Log    *slog.Logger
}

// Serve answers until ctx ends. A socket that a dead process left behind is replaced; one that answers is not.
func (s *Server) Serve(ctx context.Context) error {
	ln, err := s.listen()
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) { answer(w, s.Status()) })
	mux.HandleFunc("POST /reload", func(w http.ResponseWriter, r *http.Request) {
		if err := s.Reload(r.Context()); err != nil {
			http.Error(w, err.Error(), http.StatusConflict)
			return
		}
		answer(w, struct{}{})
	})
	if s.Peers != nil {
		s.Peers.handle(mux)
	}
	srv := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 8 << 10,
		ErrorLog: slog.NewLogLogger(s.Log.Handler(), slog.LevelWarn)}
	stop := context.AfterFunc(ctx, func() { srv.Close() })
	defer stop()
	if err := srv.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving the admin socket: %w", err)
	}
	return nil
}

// listen makes the socket with mode 0600 from its first moment: it is bound under a private name and then moved into place.
func (s *Server) listen() (net.Listener, error) {
	if conn, err := net.DialTimeout("unix", s.Socket, time.Second); err == nil {
		conn.Close()
		return nil, fmt.Errorf("admin.socket %s: another gate answers there", s.Socket)
	}
	if err := os.MkdirAll(filepath.Dir(s.Socket), 0o755); err != nil {
		return nil, fmt.Errorf("making the folder of admin.socket: %w", err)
	}
	if err := os.Remove(s.Socket); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("replacing a stale admin.socket: %w", err)
	}
	private := fmt.Sprintf("%s.%d", s.Socket, os.Getpid())
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: private, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("listening on admin.socket: %w", err)
	}
	ln.SetUnlinkOnClose(false)
	if err = os.Chmod(private, 0o600); err == nil {
		err = os.Rename(private, s.Socket)
	}
	if err != nil {
		ln.Close()
		os.Remove(private)
		return nil, fmt.Errorf("placing admin.socket: %w", err)
	}
	return ln, nil
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	// A client that went away while we wrote is no fault of ours.
	_ = enc.Encode(v)
}

// dial is a client whose every request goes to the admin socket.
func dial(socket string) *http.Client {
	return &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", socket)
		}}}
}

// Ask puts a GET question to the admin socket and decodes its answer into v.
func Ask(ctx context.Context, socket, path string, v any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://gate"+path, nil)
	if err != nil {
		return err
	}
	resp, err := dial(socket).Do(req)
	if err != nil {
		return fmt.Errorf("asking the gate at %s (is it running, and are you its user?): %w", socket, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("the gate answered %s", resp.Status)
	}
	return json.NewDecoder(resp.Body).Decode(v)
}
