package console

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
)

// callerKey is the key under which a request's context has the uid of who sent it, or the error of asking for it.
type callerKey struct{}

type caller struct {
	uid int
	err error
}

// withCaller asks the system who is at the other end, once a connection.
func withCaller(ctx context.Context, conn net.Conn) context.Context {
	uid, err := peerUID(conn)
	return context.WithValue(ctx, callerKey{}, caller{uid, err})
}

// peerOf gives the uid of who sent a request.
func peerOf(ctx context.Context) (uid int, err error) {
	c, ok := ctx.Value(callerKey{}).(caller)
	if !ok {
		return -1, errors.New("nobody knows who asks")
	}
	return c.uid, c.err
}

// ownOnly lets root and the gate's own user through to h and nobody else. The socket's mode says the same; but a mode can be
// loosened by hand, and a socket can be passed on.
func ownOnly(h http.Handler, own int) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		uid, err := peerOf(r.Context())
		switch {
		case err != nil:
			http.Error(w, err.Error(), http.StatusForbidden)
		case uid != 0 && uid != own:
			http.Error(w, "the admin socket is for root and for the user that runs the gate", http.StatusForbidden)
		default:
			h.ServeHTTP(w, r)
		}
	})
}

// ownUID is the user that the gate runs as.
func ownUID() int { return os.Geteuid() }
