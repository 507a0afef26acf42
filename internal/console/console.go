// Package console is the gate's admin socket: a Unix socket, open to its owner alone, over which `sallyport status` asks what
// the gate looks like and where its time and memory go, and `sallyport peers` changes what is remembered of remote domains, and commands that
// work on the record have that recorded. It reads snapshots and never steers a stanza. The kernel says who asks (SO_PEERCRED): root and the
// gate's own user are answered, whatever mode somebody gives the socket.
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
	"syscall"
	"time"
)

// Status is the answer to GET /status.
type Status struct {
	Version string `json:"version"`
	PID     int    `json:"pid"`
	Config  string `json:"config"` // the file that is in force
	Gate    any    `json:"gate"`   // proxy.Snapshot
	Certs   any    `json:"certificates"`
	Record  any    `json:"record"`
	Sinks   any    `json:"sinks"` // sink.Status of each
}

// Server answers on the admin socket.
type Server struct {
	Status func() Status // called for each question
	Peers  *Peers        // nil: nobody remembers anything
	Log    *slog.Logger

	// Record puts on the record what the user uid is about to do with it. Nil: there is no record.
	Record func(ctx context.Context, uid int, n Note) (Recorded, error)
}

// Serve answers on ln, which Listen made, until ctx ends, and then returns nil.
func (s *Server) Serve(ctx context.Context, ln net.Listener) error {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) { answer(w, s.Status()) })
	mux.HandleFunc("GET /profile/{name}", profile)
	if s.Peers != nil {
		s.Peers.handle(mux)
	}
	if s.Record != nil {
		mux.HandleFunc("POST /audit/note", s.note)
	}
	srv := &http.Server{Handler: ownOnly(mux, ownUID()), ConnContext: withCaller, ReadTimeout: 5 * time.Second, WriteTimeout: 10 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 8 << 10,
		ErrorLog: slog.NewLogLogger(s.Log.Handler(), slog.LevelWarn)}
	stop := context.AfterFunc(ctx, func() { srv.Close() })
	defer stop()
	if err := srv.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving the admin socket: %w", err)
	}
	return nil
}

// listener takes its socket away when it is closed, unless somebody put another one there.
type listener struct {
	net.Listener
	path string
	file fs.FileInfo
}

func (l *listener) Close() error {
	if now, err := os.Lstat(l.path); err == nil && os.SameFile(now, l.file) {
		os.Remove(l.path)
	}
	return l.Listener.Close()
}

// ErrTaken says that another gate answers on the admin socket.
var ErrTaken = errors.New("another gate is running with it")

// Listen makes the admin socket, with mode 0600 from its first moment: it is bound in a folder of its own and then moved into place.
// A socket that a dead process left behind is replaced; one that answers is not: ErrTaken. Nor is a file that is no socket.
func Listen(path string) (net.Listener, error) {
	if conn, err := net.DialTimeout("unix", path, time.Second); err == nil {
		conn.Close()
		return nil, fmt.Errorf("%s: %w", path, ErrTaken)
	}
	if old, err := os.Lstat(path); err == nil && old.Mode().Type() != fs.ModeSocket {
		return nil, fmt.Errorf("%s is there already and is no socket", path)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("making its folder: %w", err)
	}
	ln, private, err := bind(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(filepath.Dir(private))
	made := &listener{Listener: ln, path: path}
	if err = os.Rename(private, path); err == nil {
		made.file, err = os.Lstat(path)
	}
	if err != nil {
		ln.Close()
		return nil, err
	}
	return made, nil
}

// bind makes a socket of mode 0600 where nobody else can come, in a new folder of mode 0700 below dir: what mode a socket is born with is up
// to the umask. Names are short, since the system takes no more than a hundred bytes.
func bind(dir string) (ln *net.UnixListener, private string, err error) {
	own, err := os.MkdirTemp(dir, ".")
	if err != nil {
		return nil, "", err
	}
	private = filepath.Join(own, "s")
	if ln, err = net.ListenUnix("unix", &net.UnixAddr{Name: private, Net: "unix"}); err != nil {
		os.RemoveAll(own)
		return nil, "", err
	}
	ln.SetUnlinkOnClose(false)
	if err = os.Chmod(private, 0o600); err != nil {
		ln.Close()
		os.RemoveAll(own)
	}
	return ln, private, err
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
		return unanswered(socket, err)
	}
	defer resp.Body.Close()
	return read(resp, v)
}

// unanswered says why nobody answers, in place of the HTTP client's words.
func unanswered(socket string, err error) error {
	advice := ""
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		advice = "; is it running?"
	case errors.Is(err, fs.ErrPermission):
		advice = "; the socket is open to root and to the user that runs the gate"
	}
	var code syscall.Errno
	if errors.As(err, &code) {
		err = code
	}
	return fmt.Errorf("no gate answers at %s: %w%s", socket, err, advice)
}
