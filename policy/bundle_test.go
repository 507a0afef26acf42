package policy

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/bundle"
)

// signer signs bundles as `opa build --signing-key` does.
type signer struct {
	private, public []byte // PEM
	algorithm       string
}

func pemOf(t *testing.T, kind string, der []byte, err error) []byte {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

func newSigner(t *testing.T) *signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalECPrivateKey(key)
	s := &signer{private: pemOf(t, "EC PRIVATE KEY", private, err), algorithm: "ES256"}
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	s.public = pemOf(t, "PUBLIC KEY", public, err)
	return s
}

// build makes a bundle of rules and data. A nil signer signs nothing.
func (s *signer) build(t *testing.T, revision, rego string, data map[string]any) []byte {
	t.Helper()
	b := bundle.Bundle{Manifest: bundle.Manifest{Revision: revision}, Data: data}
	if b.Data == nil {
		b.Data = map[string]any{}
	}
	if rego != "" {
		b.Modules = []bundle.ModuleFile{{URL: "/house/rules.rego", Path: "/house/rules.rego", Raw: []byte(rego), Parsed: ast.MustParseModule(rego)}}
	}
	b.Manifest.Init()
	if s != nil {
		if err := b.GenerateSignature(bundle.NewSigningConfig(string(s.private), s.algorithm, ""), "some-name", false); err != nil {
			t.Fatal(err)
		}
	}
	var out bytes.Buffer
	if err := bundle.NewWriter(&out).DisableFormat(true).Write(b); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// rewritten is an archive with each file as change gives it; nil leaves it out.
func rewritten(t *testing.T, packed []byte, change func(name string, text []byte) []byte, more ...File) []byte {
	t.Helper()
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	zw := gzip.NewWriter(&out)
	w := tar.NewWriter(zw)
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(r)
		if text = change(h.Name, text); text == nil {
			continue
		}
		h.Size = int64(len(text))
		_, werr := w.Write(nil)
		if err = errors.Join(err, werr, w.WriteHeader(h)); err == nil {
			_, err = w.Write(text)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, f := range more {
		err := w.WriteHeader(&tar.Header{Name: f.Name, Mode: 0o600, Size: int64(len(f.Text))})
		if _, werr := w.Write(f.Text); errors.Join(err, werr) != nil {
			t.Fatal(err, werr)
		}
	}
	if err := errors.Join(w.Close(), zw.Close()); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// adding adds a file to a bundle.
func adding(t *testing.T, packed []byte, name, text string) []byte {
	return rewritten(t, packed, func(_ string, text []byte) []byte { return text }, File{name, []byte(text)})
}

// publisher is an HTTPS server with one bundle.
type publisher struct {
	*httptest.Server
	roots string // file

	mu                sync.Mutex
	answer            http.HandlerFunc
	whole, notChanged int // answers so far
}

func newPublisher(t *testing.T) *publisher {
	t.Helper()
	p := &publisher{}
	p.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.answer(w, r)
	}))
	p.Server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelInfo)
	p.StartTLS()
	t.Cleanup(p.Close)
	p.roots = filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(p.roots, pemOf(t, "CERTIFICATE", p.Certificate().Raw, nil), 0o600); err != nil {
		t.Fatal(err)
	}
	return p
}

// gives has the server give a bundle, with its own tag.
func (p *publisher) gives(text []byte) {
	tag := fmt.Sprintf(`"%x"`, sha256.Sum256(text))
	p.does(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", tag)
		if r.Header.Get("If-None-Match") == tag {
			p.notChanged++
			w.WriteHeader(http.StatusNotModified)
			return
		}
		p.whole++
		w.Write(text)
	})
}

func (p *publisher) does(answer http.HandlerFunc) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.answer = answer
}

// subscriber is an engine that is fed by a publisher.
type subscriber struct {
	*Feed
	engine *Engine
	told   []error
}

func (s *subscriber) ask(t *testing.T) error {
	t.Helper()
	err := s.Feed.ask(t.Context(), func(_ context.Context, supply Supply) error { return s.engine.Use(supply) })
	s.outcome(err)
	return err
}

func (p *publisher) config(t *testing.T, s *signer) BundleConfig {
	t.Helper()
	key := filepath.Join(t.TempDir(), "bundle.pub")
	if err := os.WriteFile(key, s.public, 0o600); err != nil {
		t.Fatal(err)
	}
	return BundleConfig{URL: p.URL + "/policy.tar.gz", Key: key, Roots: p.roots, File: filepath.Join(t.TempDir(), "kept", "bundle.tar.gz"), Bytes: 64 << 10, Timeout: time.Minute}
}

func subscribe(t *testing.T, c BundleConfig) (*subscriber, error) {
	t.Helper()
	f, err := NewBundle(c)
	if err != nil {
		return nil, err
	}
	s := &subscriber{Feed: f}
	f.Log, f.Refused = slog.New(slog.DiscardHandler), func(err error) { s.told = append(s.told, err) }
	first, err := f.First(t.Context())
	if err != nil {
		return nil, err
	}
	s.engine = engine(t, Config{Supplies: []Supply{first}}, Data{"federation": "open"})
	f.keep()
	return s, nil
}

const refusing = "package sallyport.stanza\n\ndeny contains {\"rule\": %q} if not data.rooms[input.to.bare]\n"

func (s *subscriber) rule(t *testing.T) string {
	t.Helper()
	return s.engine.Snapshot().Stanza(t.Context(), between("out", "juliet@corp.example", "romeo@partner.example")).Rule
}

// A signed bundle is in force from the start, and a new one when the server has it; what has not changed is not sent.
func TestBundle(t *testing.T) {
	t.Parallel()
	key, p := newSigner(t), newPublisher(t)
	data := map[string]any{"rooms": map[string]any{"x@y.example": true}}
	p.gives(key.build(t, "41-a", fmt.Sprintf(refusing, "first"), data))
	s, err := subscribe(t, p.config(t, key))
	if err != nil {
		t.Fatal(err)
	}
	if s.rule(t) != "first" || !strings.HasSuffix(s.engine.Snapshot().Revision(), "@41-a") || s.Status().Version != "41-a" {
		t.Errorf("in force is %s of %s, %+v", s.rule(t), s.engine.Snapshot().Revision(), s.Status())
	}
	for range 2 {
		if err := s.ask(t); err != nil {
			t.Fatal(err)
		}
	}
	if p.whole != 1 || p.notChanged != 2 {
		t.Errorf("the bundle was sent %d times, and not sent %d times", p.whole, p.notChanged)
	}
	p.gives(key.build(t, "42-b", fmt.Sprintf(refusing, "second"), data))
	if err := s.ask(t); err != nil || s.rule(t) != "second" || s.Status().Version != "42-b" {
		t.Errorf("the next one: %v, rule %s", err, s.rule(t))
	}
	// The next life begins with it, the server being down.
	p.Close()
	c := p.config(t, key)
	c.File = s.File
	again, err := subscribe(t, c)
	if err != nil || again.rule(t) != "second" {
		t.Fatalf("with the server down: %v", err)
	}
	if err := again.ask(t); err == nil || again.rule(t) != "second" || again.Status().Problem == "" {
		t.Errorf("the server is down, and that is told: %v", err)
	}
}

// A bundle that is not right changes nothing, and is told once.
func TestBundleRefused(t *testing.T) {
	t.Parallel()
	key, p := newSigner(t), newPublisher(t)
	old, good := key.build(t, "41", fmt.Sprintf(refusing, "old"), map[string]any{"rooms": map[string]any{}}), key.build(t, "42", fmt.Sprintf(refusing, "good"), map[string]any{"rooms": map[string]any{}})
	next := key.build(t, "43", fmt.Sprintf(refusing, "next"), map[string]any{"rooms": map[string]any{}})
	p.gives(good)
	c := p.config(t, key)
	s, err := subscribe(t, c)
	if err != nil {
		t.Fatal(err)
	}
	kept, err := os.ReadFile(s.File)
	if err != nil || !bytes.Equal(kept, good) {
		t.Fatalf("what is in force is not kept: %v", err)
	}
	before := s.engine.Snapshot()
	sent := func(text []byte) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { w.Write(text) }
	}
	for _, test := range []struct {
		name  string
		serve http.HandlerFunc
		fault string
	}{
		{"another's signature", sent(newSigner(t).build(t, "43", fmt.Sprintf(refusing, "theirs"), nil)), "verify JWT signature"},
		{"no signature", sent((*signer)(nil).build(t, "43", fmt.Sprintf(refusing, "nobody"), nil)), "missing .signatures.json"},
		{"a rule that was changed", sent(rewritten(t, next, func(name string, text []byte) []byte {
			return bytes.ReplaceAll(text, []byte(`"next"`), []byte(`"evil"`))
		})), "digest mismatch"},
		{"data that were changed", sent(rewritten(t, next, func(name string, text []byte) []byte {
			return bytes.ReplaceAll(text, []byte(`"rooms":{}`), []byte(`"rooms":{"a":1}`))
		})), "digest mismatch"},
		{"a revision that was changed", sent(rewritten(t, old, func(name string, text []byte) []byte {
			return bytes.ReplaceAll(text, []byte(`"revision":"41"`), []byte(`"revision":"99"`))
		})), "digest mismatch"},
		{"a rule left out", sent(rewritten(t, next, func(name string, text []byte) []byte {
			if strings.HasSuffix(name, ".rego") {
				return nil
			}
			return text
		})), "not found in the target bundle"},
		{"the signatures left out", sent(rewritten(t, next, func(name string, text []byte) []byte {
			if strings.HasSuffix(name, ".signatures.json") {
				return nil
			}
			return text
		})), "missing .signatures.json"},
		{"data as they lie in a directory", sent(adding(t, next, "peers.yaml", "evil.example: {}\n")), "the bundle holds peers.yaml, which would not be read: in a bundle, data.peers lies in peers/data.json"},
		{"a list of members", sent(adding(t, next, "groups/people.csv", "a@corp.example,staff\n")), "holds groups/people.csv"},
		{"an ending in capitals", sent(adding(t, next, "house/more.REGO", "package x")), "holds house/more.REGO"},
		{"an old one", sent(old), "revision 41 is older than 42"},
		{"the same revision with other content", sent(key.build(t, "42", fmt.Sprintf(refusing, "other"), map[string]any{"rooms": map[string]any{}})), "its content is another"},
		{"a revision without a number", sent(key.build(t, "deadbeef", "", nil)), `revision is "deadbeef"`},
		{"half of it", sent(next[:len(next)/2]), "unexpected EOF"},
		{"a connection that ends early", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", fmt.Sprint(len(next)+1))
			w.Write(next)
		}, "unexpected EOF"},
		{"no bundle at all", sent([]byte("<html>")), "no gzip"},
		{"too large", sent(make([]byte, c.Bytes+1)), "larger than policy.bundle.bytes"},
		{"too large when it is unpacked", sent(key.build(t, "43", "", map[string]any{"rooms": strings.Repeat("0", int(8*c.Bytes))})), "when it is unpacked"},
		{"rules that do not load", sent(key.build(t, "43", "package sallyport.stanza\n\ndeny contains {\"rule\": \"x\"} if input.stanza.knd == \"iq\"\n", nil)), "bundle:house/rules.rego:3: undefined ref"},
		{"data that others give", sent(key.build(t, "43", "", map[string]any{"federation": "listed"})), "data.federation is given by the configuration too"},
		{"an error", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusForbidden) }, "403 Forbidden"},
		{"elsewhere", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://elsewhere.example/", http.StatusFound)
		}, "302 Found"},
		{"not changed, unasked", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotModified) }, ""},
	} {
		p.does(test.serve)
		s.told = nil
		err := s.ask(t)
		if test.fault == "" { // the server confirms what is in force
			if err != nil || s.Status().Problem != "" {
				t.Errorf("%s: %v", test.name, err)
			}
			continue
		}
		if err == nil || !strings.Contains(oneLine(err), test.fault) {
			t.Errorf("%s: %v, want %q", test.name, err, test.fault)
		}
		s.ask(t)
		if len(s.told) != 1 || s.Status().Problem == "" {
			t.Errorf("%s: told %d times: %v", test.name, len(s.told), s.told)
		}
		if now, err := os.ReadFile(s.File); err != nil || !bytes.Equal(now, kept) || s.engine.Snapshot() != before {
			t.Errorf("%s: something has changed", test.name)
		}
	}
	p.gives(next)
	if err := s.ask(t); err != nil || s.rule(t) != "next" || s.Status().Problem != "" {
		t.Errorf("a good one after all that: %v", err)
	}
}

// What is kept is verified like what comes over the network: who can write the file cannot write the policy.
func TestBundleKeptIsVerified(t *testing.T) {
	t.Parallel()
	key, p := newSigner(t), newPublisher(t)
	p.gives(key.build(t, "1", fmt.Sprintf(refusing, "good"), map[string]any{"rooms": map[string]any{}}))
	c := p.config(t, key)
	if err := os.Mkdir(filepath.Dir(c.File), 0o700); err != nil {
		t.Fatal(err)
	}
	forged := newSigner(t).build(t, "7", fmt.Sprintf(refusing, "forged"), map[string]any{"rooms": map[string]any{}})
	if err := os.WriteFile(c.File, forged, 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := subscribe(t, c)
	if err != nil || s.rule(t) != "good" {
		t.Fatalf("with a forged file and a good server: %v", err)
	}
	if err := os.WriteFile(c.File, forged, 0o600); err != nil {
		t.Fatal(err)
	}
	p.Close()
	if _, err := subscribe(t, c); err == nil || !strings.Contains(err.Error(), "nothing is kept") {
		t.Errorf("with a forged file and no server: %v", err)
	}
}

func TestBundleConfig(t *testing.T) {
	t.Parallel()
	key, p := newSigner(t), newPublisher(t)
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	file := func(text []byte) string {
		path := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	good := p.config(t, key)
	for name, test := range map[string]struct {
		change func(*BundleConfig)
		fault  string
	}{
		"in clear":                {func(c *BundleConfig) { c.URL = "http://x.example/b" }, "url: "},
		"a password in the URL":   {func(c *BundleConfig) { c.URL = "https://u:p@x.example/b" }, "url: "},
		"no key":                  {func(c *BundleConfig) { c.Key = "/nonexistent" }, "key: "},
		"no PEM":                  {func(c *BundleConfig) { c.Key = file([]byte("secret")) }, "key: it is no PEM"},
		"the private key":         {func(c *BundleConfig) { c.Key = file(key.private) }, "key: it is a ec private key"},
		"what the key cannot":     {func(c *BundleConfig) { c.Algorithm = "RS256" }, "key: it cannot sign by RS256"},
		"a shared secret":         {func(c *BundleConfig) { c.Algorithm = "HS256" }, "key: it cannot sign by HS256"},
		"no authority":            {func(c *BundleConfig) { c.Roots = "/nonexistent" }, "roots: "},
		"an authority of nothing": {func(c *BundleConfig) { c.Roots = file([]byte("x")) }, "roots: "},
	} {
		c := good
		test.change(&c)
		if _, err := NewBundle(c); err == nil || !strings.HasPrefix(err.Error(), test.fault) {
			t.Errorf("%s: %v, want %s", name, err, test.fault)
		}
	}
	// An RSA key has a choice; a scope and a token are what they are.
	private := pemOf(t, "RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(rsaKey), nil)
	public := pemOf(t, "RSA PUBLIC KEY", x509.MarshalPKCS1PublicKey(&rsaKey.PublicKey), nil)
	signer := &signer{private, public, "PS256"}
	c := good
	c.Key, c.Algorithm, c.TokenFile = file(public), "PS256", file([]byte("hush\n"))
	text := signer.build(t, "1", "", nil)
	p.does(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer hush" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		w.Write(text)
	})
	if _, err := subscribe(t, c); err != nil {
		t.Errorf("RSA, with a token: %v", err)
	}
	c.Scope, c.File = "gate", good.File+"2"
	if _, err := subscribe(t, c); err == nil || !strings.Contains(err.Error(), "scope mismatch") {
		t.Errorf("without the scope: %v", err)
	}
	// A server that somebody else vouches for is not asked.
	c.Roots, c.Scope = "", ""
	if _, err := subscribe(t, c); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("an unknown server: %v", err)
	}
	if _, err := os.Stat(c.File); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("something is kept: %v", err)
	}
}
