package resolve

import (
	"compress/gzip"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"sallyport/internal/xmpptest"
)

// site is a pretend web server, over TLS and in clear, that example.com's DNS leads to.
type site struct {
	secure, clear *httptest.Server
	roots         *x509.CertPool
	names         *xmpptest.DNS
	asked         atomic.Int32
}

func newSite(t *testing.T, handler http.HandlerFunc) *site {
	s := &site{roots: x509.NewCertPool()}
	counted := http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		s.asked.Add(1)
		handler(w, q)
	})
	s.secure, s.clear = httptest.NewTLSServer(counted), httptest.NewServer(counted)
	t.Cleanup(s.secure.Close)
	t.Cleanup(s.clear.Close)
	s.secure.Config.ErrorLog = log.New(io.Discard, "", 0) // handshakes that fail are what the tests want
	s.roots.AddCert(s.secure.Certificate())
	s.names = xmpptest.ListenDNS(t, "example.com. 60 IN A 127.0.0.1", "other.example. 60 IN A 127.0.0.1", "cloud.example. 60 IN A 169.254.169.254")
	return s
}

// url is a place on the site, by the name that its certificate is for.
func (s *site) url(path string) string {
	_, port, _ := net.SplitHostPort(s.secure.Listener.Addr().String())
	return "https://example.com:" + port + path
}

func (s *site) inClear(path string) string {
	_, port, _ := net.SplitHostPort(s.clear.Listener.Addr().String())
	return "http://example.com:" + port + path
}

// fetch returns the body.
func fetch(c *http.Client, url string) (string, error) {
	answer, err := c.Get(url)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	return string(body), err
}

func TestHTTP(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(w http.ResponseWriter, q *http.Request) {
		switch path := q.URL.Path; {
		case path == "/large":
			_, _ = io.WriteString(w, strings.Repeat("x", 1001))
		case path == "/endless":
			for _, err := io.WriteString(w, strings.Repeat("x", 1000)); err == nil && q.Context().Err() == nil; {
				_, err = io.WriteString(w, strings.Repeat("x", 1000))
			}
		case path == "/zip":
			if strings.Contains(q.Header.Get("Accept-Encoding"), "gzip") {
				w.Header().Set("Content-Encoding", "gzip")
				z := gzip.NewWriter(w)
				_, _ = io.WriteString(z, strings.Repeat("x", 1000000))
				_ = z.Close()
			}
		case path == "/header":
			w.Header().Set("X", strings.Repeat("x", 2*fetchHeader))
		case strings.HasPrefix(path, "/to/"):
			w.Header().Set("Location", q.URL.Query().Get("u"))
			w.WriteHeader(http.StatusFound)
		case path == "/hang":
			<-q.Context().Done()
		case path == "/drip":
			for q.Context().Err() == nil {
				_, _ = io.WriteString(w, "x")
				_ = http.NewResponseController(w).Flush()
				select {
				case <-q.Context().Done():
				case <-time.After(20 * time.Millisecond):
				}
			}
			panic(http.ErrAbortHandler) // or this would be the end of the document
		default:
			_, _ = io.WriteString(w, strings.Repeat("y", 1000))
		}
	})
	const late = "too late"
	for _, c := range []struct {
		name     string
		fetching Fetching
		url      string
		want     string // "": the document comes; else part of the error
		asked    int32  // requests that reach the site
	}{
		{"a document", Fetching{}, s.url("/"), "", 1},
		{"as large as it may be", Fetching{Bytes: 1000}, s.url("/"), "", 1},
		{"one byte larger", Fetching{Bytes: 1000}, s.url("/large"), "larger than 1000 bytes", 1},
		{"without end", Fetching{Bytes: 1 << 20}, s.url("/endless"), "larger than 1048576 bytes", 1},
		{"nothing is unpacked", Fetching{Bytes: 1000}, s.url("/zip"), "", 1},
		{"a large header", Fetching{}, s.url("/header"), "exceeded", 1},
		{"no answer", Fetching{Timeout: 2 * time.Second}, s.url("/hang"), late, 1},
		{"drop by drop", Fetching{Timeout: 2 * time.Second}, s.url("/drip"), late, 1},
		{"in clear, unless allowed", Fetching{}, s.inClear("/"), "only https:// is fetched here", 0},
		{"in clear, allowed", Fetching{InClear: true}, s.inClear("/"), "", 1},
		{"another scheme", Fetching{InClear: true}, "ftp://example.com/", "only https:// is fetched here", 0},
		{"a server of another name", Fetching{}, strings.Replace(s.url("/"), "example.com", "other.example", 1), "not other.example", 0},
		{"a redirect, unless allowed", Fetching{}, s.url("/to/1?u=/"), "redirected too often", 1},
		{"one redirect, allowed", Fetching{Redirects: 1}, s.url("/to/1?u=/"), "", 2},
		{"one too many", Fetching{Redirects: 1}, s.url("/to/1?u=/to/2?u=/"), "redirected too often", 2},
		{"a redirect into clear", Fetching{Redirects: 1}, s.url("/to/1?u=" + s.inClear("/")), "only https:// is fetched here", 1},
		{"[D09] a redirect to a cloud's credentials", Fetching{Redirects: 1, InClear: true}, s.url("/to/1?u=http://169.254.169.254/latest/"), "not called: link-local address", 1},
		{"[D09] the same by name", Fetching{Redirects: 1, InClear: true}, s.url("/to/1?u=http://cloud.example/latest/"), "not called: link-local address", 1},
		{"[D09] a redirect to this gate", Fetching{Redirects: 1}, s.url("/to/1?u=https://127.0.3.1:5270/"), "not called: this gate itself", 1},
		{"[D09] the system's own table of names does not count", Fetching{Redirects: 1}, s.url("/to/1?u=https://localhost/"), "no such name", 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newResolver(t, Config{AllowPrivate: true, Listeners: []netip.AddrPort{netip.MustParseAddrPort("127.0.3.1:5270")}}, s.names)
			c.fetching.Roots = s.roots
			before := s.asked.Load()
			body, err := fetch(r.HTTP(c.fetching), c.url)
			if c.want == late {
				// net/http has several wordings for it.
				if over, ok := errors.AsType[net.Error](err); !ok || !over.Timeout() {
					t.Errorf("%d bytes, error %v, want the end of the time", len(body), err)
				}
			} else if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("%d bytes, error %v, want %q", len(body), err, c.want)
			}
			if int64(len(body)) > max(c.fetching.Bytes, fetchBytes) {
				t.Errorf("%d bytes came through", len(body))
			}
			if n := s.asked.Load() - before; n != c.asked {
				t.Errorf("%d requests, want %d", n, c.asked)
			}
		})
	}
	// [D09]: without allow_private the site itself is out of bounds, by name and by address.
	r := newResolver(t, Config{}, s.names)
	for _, url := range []string{s.url("/"), s.secure.URL, strings.Replace(s.secure.URL, "127.0.0.1", "[::ffff:127.0.0.1]", 1), strings.Replace(s.secure.URL, "127.0.0.1", "2130706433", 1)} {
		before := s.asked.Load()
		_, err := fetch(r.HTTP(Fetching{Roots: s.roots}), url)
		if _, ok := errors.AsType[*DialError](err); !ok || s.asked.Load() != before {
			t.Errorf("[D09] %s: %v", url, err)
		}
	}
	// The system's authorities do not vouch for it.
	if _, err := fetch(newResolver(t, Config{AllowPrivate: true}, s.names).HTTP(Fetching{}), s.url("/")); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("without roots: %v", err)
	}
}

// A proxy of the environment would look names up itself, and could call anyone.
func TestHTTPTakesNoProxy(t *testing.T) {
	s := newSite(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "the site") })
	proxy := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the proxy was asked") }))
	defer proxy.Close()
	for _, name := range []string{"HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "https_proxy", "http_proxy"} {
		t.Setenv(name, proxy.URL)
	}
	client := newResolver(t, Config{AllowPrivate: true}, s.names).HTTP(Fetching{Roots: s.roots, InClear: true})
	for _, url := range []string{s.url("/"), s.inClear("/")} {
		if body, err := fetch(client, url); err != nil || body != "the site" {
			t.Errorf("%s: %q, %v", url, body, err)
		}
	}
}
