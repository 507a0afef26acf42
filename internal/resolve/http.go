package resolve

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"
)

// Fetching says what an HTTP client for documents that strangers point us to may do. The zero Fetching takes 64 KiB over HTTPS from
// servers that the system's authorities vouch for, within ten seconds, and follows no redirect.
type Fetching struct {
	Roots     *x509.CertPool // whose word counts for servers; nil: the system's
	InClear   bool           // http:// as well, for what carries a signature of its own, as revocation lists do
	Redirects int            // that are followed
	Bytes     int64          // of a document; reading more is an error
	Timeout   time.Duration  // for all of one document
}

const (
	fetchBytes  = 64 << 10
	fetchHeader = 16 << 10
	fetchTime   = 10 * time.Second
)

var (
	errInClear   = errors.New("only https:// is fetched here")
	errRedirects = errors.New("redirected too often")
)

// HTTP makes a client for such documents. Names are looked up by this resolver, and each connection, after a redirect as before it,
// passes the address filter ([D09]): a certificate or a document must not make us call the private networks around us. Nothing of the
// environment counts, proxies least of all; connections are not kept.
func (r *Resolver) HTTP(f Fetching) *http.Client {
	if f.Bytes <= 0 {
		f.Bytes = fetchBytes
	}
	positive(&f.Timeout, fetchTime)
	return &http.Client{
		Timeout: f.Timeout,
		Transport: &bounded{Fetching: f, next: &http.Transport{
			DialContext:            r.dialHost,
			TLSClientConfig:        &tls.Config{RootCAs: f.Roots, MinVersion: tls.VersionTLS12},
			DisableKeepAlives:      true,
			DisableCompression:     true, // a small document could become a large one
			MaxResponseHeaderBytes: fetchHeader,
		}},
		CheckRedirect: func(_ *http.Request, via []*http.Request) error {
			if len(via) > f.Redirects {
				return errRedirects
			}
			return nil
		},
	}
}

// dialHost connects to a host by name, as DialContext of an http.Transport.
func (r *Resolver) dialHost(ctx context.Context, _, address string) (net.Conn, error) {
	host, text, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	port, err := strconv.ParseUint(text, 10, 16)
	if err != nil || port == 0 {
		return nil, fmt.Errorf("%q is not a port", text)
	}
	conn, _, _, err := r.Dial(ctx, []Endpoint{{Target: host, Port: uint16(port)}})
	return conn, err
}

// bounded holds each request, also one that a redirect made, to a Fetching.
type bounded struct {
	Fetching
	next http.RoundTripper
}

// RoundTrip makes one request.
func (b *bounded) RoundTrip(q *http.Request) (*http.Response, error) {
	if q.URL.Scheme != "https" && !(b.InClear && q.URL.Scheme == "http") {
		return nil, errInClear
	}
	answer, err := b.next.RoundTrip(q)
	if err == nil {
		answer.Body = &boundedBody{ReadCloser: answer.Body, left: b.Bytes, limit: b.Bytes}
	}
	return answer, err
}

// boundedBody reads no more than a limit.
type boundedBody struct {
	io.ReadCloser
	left, limit int64
}

// Read reads, and fails behind the limit.
func (b *boundedBody) Read(p []byte) (int, error) {
	if int64(len(p)) > b.left+1 {
		p = p[:b.left+1]
	}
	n, err := b.ReadCloser.Read(p)
	if b.left -= int64(n); b.left < 0 {
		return 0, fmt.Errorf("the document is larger than %d bytes", b.limit)
	}
	return n, err
}
