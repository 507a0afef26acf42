package certs

import (
	"context"
	"crypto/ecdsa"
	"crypto/tls"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"path"
	"slices"
	"sync"
	"time"

	"golang.org/x/crypto/acme"
	"golang.org/x/crypto/acme/autocert"
	"golang.org/x/net/netutil"
)

const (
	visitors  = 256              // connections at once at one listener for the web
	visitTime = 10 * time.Second // one of them, from its first byte to its last
)

// responder answers validators of tls-alpn-01 and http-01. An autocert.Manager does so, out of a cache into which the order puts the
// answers: as in a fleet behind one address, where one machine orders and any other may be asked.
type responder struct {
	tokens  tokens
	manager *autocert.Manager
}

func newResponder() *responder {
	r := &responder{}
	r.manager = &autocert.Manager{
		Cache: &r.tokens,
		// It is asked for nothing but answers, and accepts no terms: it obtains no certificate.
		Prompt: func(string) bool { return false },
	}
	return r
}

// present implements solver: it puts answers where the manager looks for them.
func (r *responder) present(ctx context.Context, c *client, proofs []proofOfControl) (cleanup func(), err error) {
	var keys []string
	cleanup = func() {
		for _, key := range keys {
			_ = r.tokens.Delete(context.WithoutCancel(ctx), key)
		}
	}
	for _, p := range proofs {
		key, data, err := answerTo(c, p)
		if err != nil {
			return cleanup, err
		}
		_ = r.tokens.Put(ctx, key, data)
		keys = append(keys, key)
	}
	return cleanup, nil
}

// answerTo makes the answer to a challenge, and the name by which autocert looks for it.
func answerTo(c *client, p proofOfControl) (key string, data []byte, err error) {
	if p.challenge.Type == HTTP01 {
		text, err := c.HTTP01ChallengeResponse(p.token)
		return path.Base(c.HTTP01ChallengePath(p.token)) + "+http-01", []byte(text), err
	}
	cert, err := c.TLSALPN01ChallengeCert(p.token, p.domain)
	if err != nil {
		return "", nil, err
	}
	private, ok := cert.PrivateKey.(*ecdsa.PrivateKey)
	if !ok {
		return "", nil, errors.New("the challenge's key is of another kind than expected")
	}
	data, err = encodePair(private, cert.Certificate)
	return p.domain + "+token", data, err
}

// tokens is an autocert.Cache in memory: full disks and bad clocks do not touch it.
type tokens struct {
	mu   sync.Mutex
	data map[string][]byte
}

// Get implements autocert.Cache.
func (a *tokens) Get(_ context.Context, key string) ([]byte, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	data, ok := a.data[key]
	if !ok {
		return nil, autocert.ErrCacheMiss
	}
	return data, nil
}

// Put implements autocert.Cache.
func (a *tokens) Put(_ context.Context, key string, data []byte) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.data == nil {
		a.data = make(map[string][]byte)
	}
	a.data[key] = data
	return nil
}

// Delete implements autocert.Cache.
func (a *tokens) Delete(_ context.Context, key string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.data, key)
	return nil
}

// forChallenge is the tls.Config for a validator, nil for everybody else. It never asks for a certificate: validators have none.
func (r *responder) forChallenge(hello *tls.ClientHelloInfo) (*tls.Config, error) {
	if !slices.Equal(hello.SupportedProtos, []string{acme.ALPNProto}) {
		return nil, nil
	}
	return r.config(), nil
}

func (r *responder) config() *tls.Config {
	c := base()
	c.NextProtos = []string{acme.ALPNProto}
	c.SessionTicketsDisabled = true
	c.GetCertificate = func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		// For any other hello the manager would begin to obtain a certificate.
		if !slices.Equal(hello.SupportedProtos, []string{acme.ALPNProto}) {
			return nil, errors.New("only an authority's validator is served here")
		}
		return r.manager.GetCertificate(hello)
	}
	return c
}

// ServeChallenges answers an authority's validators on ln, by the configured kind of challenge, until ctx ends. It closes ln.
func (m *Manager) ServeChallenges(ctx context.Context, ln net.Listener, kind string) error {
	if kind == HTTP01 {
		return serveWeb(ctx, ln, &http.Server{Handler: m.responder.manager.HTTPHandler(http.NotFoundHandler())})
	}
	srv := &http.Server{
		Handler:      http.NotFoundHandler(),
		TLSConfig:    m.responder.config(),
		TLSNextProto: endsWithHandshake(),
	}
	return serveWeb(ctx, ln, srv)
}

// endsWithHandshake is for a web server at which validators come by: theirs is over with the handshake. There is no HTTP/2.
func endsWithHandshake() map[string]func(*http.Server, *tls.Conn, http.Handler) {
	return map[string]func(*http.Server, *tls.Conn, http.Handler){acme.ALPNProto: func(*http.Server, *tls.Conn, http.Handler) {}}
}

// serveWeb serves until ctx ends, over TLS where srv has a configuration for it. It closes ln.
func serveWeb(ctx context.Context, ln net.Listener, srv *http.Server) (err error) {
	srv.ReadTimeout, srv.WriteTimeout, srv.IdleTimeout, srv.MaxHeaderBytes = visitTime, visitTime, visitTime, 8<<10
	srv.ErrorLog = log.New(io.Discard, "", 0) // every scanner of the internet comes by here
	defer context.AfterFunc(ctx, func() { srv.Close() })()
	ln = netutil.LimitListener(ln, visitors)
	if srv.TLSConfig == nil {
		err = srv.Serve(ln)
	} else {
		err = srv.ServeTLS(ln, "", "")
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}
