package resolve

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"

	"sallyport/internal/jid"
	"sallyport/internal/xmpptest"
)

// theCertificate is for example.com and 127.0.0.1; the file holds its authority.
func theCertificate(t *testing.T) (cert tls.Certificate, roots string) {
	t.Helper()
	s := httptest.NewTLSServer(nil)
	defer s.Close()
	roots = filepath.Join(t.TempDir(), "roots.pem")
	if err := os.WriteFile(roots, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	return s.TLS.Certificates[0], roots
}

func TestParseServer(t *testing.T) {
	t.Parallel()
	at := netip.MustParseAddrPort
	for in, want := range map[string]Server{
		"127.0.0.53:53":                      {Addr: at("127.0.0.53:53")},
		"[2001:db8::1]:5353":                 {Addr: at("[2001:db8::1]:5353")},
		"tls://192.0.2.1#dns.example":        {Addr: at("192.0.2.1:853"), TLS: "dns.example"},
		"tls://192.0.2.1:8853#DNS.Example.":  {Addr: at("192.0.2.1:8853"), TLS: "dns.example"},
		"tls://2001:db8::1#dns.example":      {Addr: at("[2001:db8::1]:853"), TLS: "dns.example"},
		"tls://[2001:db8::1]#dns.example":    {Addr: at("[2001:db8::1]:853"), TLS: "dns.example"},
		"tls://[2001:db8::1]:99#dns.example": {Addr: at("[2001:db8::1]:99"), TLS: "dns.example"},
		"tls://192.0.2.1":                    {Addr: at("192.0.2.1:853"), TLS: "192.0.2.1"},
	} {
		got, err := ParseServer(in)
		if err != nil || got != want {
			t.Errorf("ParseServer(%q) = %+v, %v; want %+v", in, got, err, want)
		}
		if again, err := ParseServer(got.String()); err != nil || again != got {
			t.Errorf("%q is written as %q, which reads as %+v, %v", in, got, again, err)
		}
	}
	for _, in := range []string{"", "192.0.2.1", "192.0.2.1:0", "dns.example:53", "tls://dns.example", "tls://192.0.2.1#", "tls://192.0.2.1:0#a.example", "tls://192.0.2.1:99999#a.example", "TLS://192.0.2.1", "tls:192.0.2.1", "tls://192.0.2.1#a b"} {
		if got, err := ParseServer(in); err == nil {
			t.Errorf("ParseServer(%q) = %+v", in, got)
		}
	}
}

// The AD bit counts only where nobody on the way can have set it.
func TestDNSSECNeedsAPrivateWay(t *testing.T) {
	t.Parallel()
	for server, want := range map[string]bool{
		"127.0.0.53:53": true, "[::1]:53": true, "[::ffff:127.0.0.1]:53": true, "tls://192.0.2.1#dns.example": true,
		"192.0.2.1:53": false, "10.0.0.1:53": false, "169.254.0.1:53": false,
	} {
		s, err := ParseServer(server)
		if err != nil {
			t.Fatal(err)
		}
		if _, err = New(Config{Servers: []Server{s}, DNSSEC: true}); (err == nil) != want || err != nil && !errors.Is(err, errOpenWay) {
			t.Errorf("[I24] dnssec through %v: %v", s, err)
		}
		if _, err = New(Config{Servers: []Server{s}}); err != nil {
			t.Errorf("without dnssec: %v", err)
		}
	}
}

// Many questions, over one connection.
func TestOverTLS(t *testing.T) {
	t.Parallel()
	cert, roots := theCertificate(t)
	var zone []string
	for i := range 40 {
		zone = append(zone, fmt.Sprintf("_xmpp-server._tcp.d%d.example. 60 IN SRV 0 0 5269 x.d%[1]d.example.", i), fmt.Sprintf("x.d%d.example. 60 IN A 1.1.1.%[1]d", i))
	}
	names := xmpptest.ListenDNS(t, zone...)
	var handshakes atomic.Int32
	at := names.OverTLS(t, &tls.Config{Certificates: []tls.Certificate{cert}, GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
		handshakes.Add(1)
		return nil, nil
	}})
	for i, name := range []string{"example.com", "127.0.0.1"} {
		r := newResolver(t, Config{Servers: []Server{{Addr: at, TLS: name}}, ServerRoots: roots})
		var all sync.WaitGroup
		for i := range 40 {
			all.Go(func() {
				eps, err := r.Endpoints(t.Context(), jid.MustDomain(fmt.Sprintf("d%d.example", i)))
				if got, want := places(eps), fmt.Sprintf("x.d%d.example:5269 1.1.1.%[1]d", i); err != nil || !slices.Equal(got, []string{want}) {
					t.Errorf("endpoints %q, %v; want %q", got, err, want)
				}
			})
		}
		all.Wait()
		if n := int(handshakes.Load()); n != i+1 {
			t.Errorf("%d connections for %d resolvers, 40 domains each", n, i+1)
		}
	}
	if asked := names.Asked(); slices.ContainsFunc(asked, func(q string) bool { return strings.HasSuffix(q, " udp") }) {
		t.Errorf("asked in clear: %q", asked)
	}
}

// RFC 7858 §4.2, strict: a server that does not prove itself is not asked, and not in clear either.
func TestOverTLSTheServerMustProveItself(t *testing.T) {
	t.Parallel()
	cert, roots := theCertificate(t)
	names := xmpptest.ListenDNS(t, hostA)
	at := names.OverTLS(t, &tls.Config{Certificates: []tls.Certificate{cert}})
	for name, c := range map[string]struct {
		config Config
		want   string
	}{
		"another name":      {Config{Servers: []Server{{Addr: at, TLS: "other.example"}}, ServerRoots: roots}, "not other.example"},
		"another address":   {Config{Servers: []Server{{Addr: at, TLS: "127.0.0.2"}}, ServerRoots: roots}, "not 127.0.0.2"},
		"another authority": {Config{Servers: []Server{{Addr: at, TLS: "example.com"}}}, "unknown authority"},
		"no TLS there":      {Config{Servers: []Server{{Addr: names.Addr(), TLS: "example.com"}}, ServerRoots: roots, Timeout: 200 * time.Millisecond}, names.Addr().String()},
	} {
		_, err := newResolver(t, c.config).Endpoints(t.Context(), aExample)
		if _, ok := errors.AsType[*TemporaryError](err); !ok || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want a TemporaryError with %q", name, err, c.want)
		}
	}
	if asked := names.Asked(); len(asked) != 0 {
		t.Errorf("asked all the same: %q", asked)
	}
	for name, text := range map[string]string{"missing": "", "empty": "\n", "no PEM": "hello"} {
		path := filepath.Join(t.TempDir(), "roots.pem")
		if text != "" {
			_ = os.WriteFile(path, []byte(text), 0o600)
		}
		if _, err := New(Config{Servers: []Server{{Addr: at, TLS: "example.com"}}, ServerRoots: path}); err == nil || !strings.Contains(err.Error(), "outside.resolver_roots") {
			t.Errorf("%s file of roots: %v", name, err)
		}
	}
}

// desk is a name server over TLS at the other end of a pipe, in pretended time.
type desk struct {
	roots *x509.CertPool
	cert  tls.Certificate
	serve func(n int, conn net.Conn) // n counts connections from 1
	n     atomic.Int32
	open  atomic.Int32
}

func newDesk(t *testing.T, serve func(int, net.Conn)) *desk {
	s := httptest.NewUnstartedServer(nil)
	s.StartTLS()
	defer s.Close()
	d := &desk{cert: s.TLS.Certificates[0], roots: x509.NewCertPool(), serve: serve}
	d.roots.AddCert(s.Certificate())
	return d
}

// server asks the desk. It must be made in the bubble.
func (d *desk) server(timeout time.Duration) *tlsServer {
	// The certificate's dates are not those of a bubble.
	s := newTLSServer(Server{Addr: netip.MustParseAddrPort("192.0.2.1:853"), TLS: "example.com"}, d.roots, timeout, d.dial)
	s.config.Time = func() time.Time { return time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC) }
	return s
}

func (d *desk) dial(context.Context, string, string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	n := int(d.n.Add(1))
	d.open.Add(1)
	go func() {
		defer d.open.Add(-1)
		defer theirs.Close()
		d.serve(n, tls.Server(theirs, &tls.Config{Certificates: []tls.Certificate{d.cert}}))
	}()
	return ours, nil
}

// next reads a question from conn, nil at the end.
func next(conn net.Conn) *dns.Msg {
	wire, err := readMessage(conn)
	q := new(dns.Msg)
	if err != nil || q.Unpack(wire) != nil {
		return nil
	}
	return q
}

// say answers q with one address.
func say(conn net.Conn, q *dns.Msg, addr string) {
	reply := new(dns.Msg).SetReply(q)
	reply.Answer = []dns.RR{&dns.A{Hdr: dns.RR_Header{Name: q.Question[0].Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 60}, A: net.ParseIP(addr)}}
	wire, _ := reply.Pack()
	_ = writeMessage(conn, wire)
}

// put asks for the address of name and returns the answer as text.
func (d *desk) put(ctx context.Context, s *tlsServer, name string) string {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	reply, err := s.exchange(ctx, new(dns.Msg).SetQuestion(name, dns.TypeA))
	if err != nil {
		return err.Error()
	}
	return reply.Answer[0].(*dns.A).A.String()
}

func inBubble(t *testing.T, serve func(n int, conn net.Conn), test func(t *testing.T, d *desk, s *tlsServer)) {
	t.Helper()
	d := newDesk(t, serve)
	synctest.Test(t, func(t *testing.T) {
		test(t, d, d.server(2*time.Second))
		time.Sleep(tlsIdle + time.Second)
		if n := d.open.Load(); n != 0 {
			t.Errorf("%d connections are open %v after the last question", n, tlsIdle)
		}
	})
}

// RFC 7766 §7: answers come in any order, and each finds its question.
func TestOverTLSAnswersInAnyOrder(t *testing.T) {
	t.Parallel()
	inBubble(t, func(_ int, conn net.Conn) {
		var questions []*dns.Msg
		for range 3 {
			questions = append(questions, next(conn))
		}
		for _, q := range slices.Backward(questions) {
			say(conn, q, "1.1.1."+strings.TrimSuffix(q.Question[0].Name, ".example."))
		}
		next(conn)
	}, func(t *testing.T, d *desk, s *tlsServer) {
		var all sync.WaitGroup
		for _, n := range []string{"1", "2", "3"} {
			all.Go(func() {
				if got := d.put(t.Context(), s, n+".example."); got != "1.1.1."+n {
					t.Errorf("%s.example: %s", n, got)
				}
			})
		}
		all.Wait()
		if n := d.n.Load(); n != 1 {
			t.Errorf("%d connections", n)
		}
	})
}

// What a server may do wrong, and that the next question is not harmed by it.
func TestOverTLSOddServers(t *testing.T) {
	t.Parallel()
	answerAll := func(conn net.Conn) {
		for q := next(conn); q != nil; q = next(conn) {
			say(conn, q, "1.1.1.1")
		}
	}
	for _, c := range []struct {
		name          string
		first         func(conn net.Conn) // what it does on the first connection
		answers       []string            // to questions one after the other
		connections   int
		wait, between time.Duration // how long each may take; before each but the first
	}{
		{"closes at once", func(net.Conn) {}, []string{"TLS handshake: ", "1.1.1.1"}, 2, 0, 0},
		{"closes on the question", func(conn net.Conn) { next(conn) }, []string{"closed the connection", "1.1.1.1"}, 2, 0, 0},
		{"closes after an answer; the next question goes out once more", func(conn net.Conn) { say(conn, next(conn), "2.2.2.2") }, []string{"2.2.2.2", "1.1.1.1"}, 2, 0, 0},
		{"closes on the second question; it is asked once more", func(conn net.Conn) {
			say(conn, next(conn), "2.2.2.2")
			next(conn)
		}, []string{"2.2.2.2", "1.1.1.1"}, 2, 0, 0},
		{"never answers; after twice the time of one question it is left", func(conn net.Conn) {
			for next(conn) != nil {
			}
		}, []string{"deadline", "1.1.1.1"}, 2, 2 * time.Second, time.Millisecond},
		{"never shakes hands", func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn.(*tls.Conn).NetConn()) },
			[]string{"deadline", "1.1.1.1"}, 2, 2 * time.Second, time.Millisecond},
		{"answers another question", func(conn net.Conn) {
			q := next(conn)
			q.Question[0].Name = "other.example."
			say(conn, q, "2.2.2.2")
			answerAll(conn)
		}, []string{"no answer to the question", "1.1.1.1"}, 1, 0, 0},
		{"answers with another id, then rightly", func(conn net.Conn) {
			q := next(conn)
			q.Id++
			say(conn, q, "2.2.2.2")
			q.Id--
			say(conn, q, "1.1.1.1")
			answerAll(conn)
		}, []string{"1.1.1.1", "1.1.1.1"}, 1, 0, 0},
		{"sends empty messages and noise first", func(conn net.Conn) {
			q := next(conn)
			_ = writeMessage(conn, nil)
			_ = writeMessage(conn, []byte{1})
			_ = writeMessage(conn, make([]byte, 60000))
			say(conn, q, "1.1.1.1")
			answerAll(conn)
		}, []string{"1.1.1.1", "1.1.1.1"}, 1, 0, 0},
		{"sends noise without end: the question is not waited for longer", func(conn net.Conn) {
			next(conn)
			go next(conn)
			for writeMessage(conn, make([]byte, 1000)) == nil {
				time.Sleep(100 * time.Millisecond)
			}
		}, []string{"deadline", "1.1.1.1"}, 2, 2 * time.Second, time.Millisecond},
		{"takes no further question: it is asked elsewhere", func(conn net.Conn) {
			say(conn, next(conn), "1.1.1.1")
			time.Sleep(5 * time.Second)
		}, []string{"1.1.1.1", "deadline", "1.1.1.1"}, 2, 2 * time.Second, time.Millisecond},
		{"answers late: the answer is dropped", func(conn net.Conn) {
			q := next(conn)
			time.Sleep(2100 * time.Millisecond)
			say(conn, q, "2.2.2.2")
			answerAll(conn)
		}, []string{"deadline", "1.1.1.1"}, 1, 2 * time.Second, time.Second},
		{"is still there after a pause", answerAll, []string{"1.1.1.1", "1.1.1.1"}, 1, 0, tlsIdle - time.Second},
		{"is called anew after a long pause", answerAll, []string{"1.1.1.1", "1.1.1.1"}, 2, 0, tlsIdle + time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, func(n int, conn net.Conn) {
				if n == 1 {
					c.first(conn)
					return
				}
				answerAll(conn)
			}, func(t *testing.T, d *desk, s *tlsServer) {
				for i, want := range c.answers {
					if i > 0 {
						time.Sleep(c.between)
					}
					begin := time.Now()
					if got := d.put(t.Context(), s, "a.example."); !strings.Contains(got, want) {
						t.Errorf("question %d is answered %q, want %q", i+1, got, want)
					}
					if took := time.Since(begin); took > c.wait {
						t.Errorf("question %d took %v", i+1, took)
					}
				}
				if n := int(d.n.Load()); n != c.connections {
					t.Errorf("%d connections, want %d", n, c.connections)
				}
			})
		})
	}
}

// An answer counts although the connection ended right behind it.
func TestOverTLSLastAnswerCounts(t *testing.T) {
	t.Parallel()
	inBubble(t, func(_ int, conn net.Conn) { say(conn, next(conn), "1.1.1.1") }, func(t *testing.T, d *desk, s *tlsServer) {
		for range 50 {
			if got := d.put(t.Context(), s, "a.example."); got != "1.1.1.1" {
				t.Fatal(got)
			}
			synctest.Wait()
		}
	})
}

// One connection has room for so many questions, and no more memory than that.
func TestOverTLSIsBounded(t *testing.T) {
	t.Parallel()
	inBubble(t, func(_ int, conn net.Conn) {
		for next(conn) != nil {
		}
	}, func(t *testing.T, d *desk, s *tlsServer) {
		var all sync.WaitGroup
		var full atomic.Int32
		for range maxPipelined + 5 {
			all.Go(func() {
				if got := d.put(t.Context(), s, "a.example."); strings.Contains(got, "too many") {
					full.Add(1)
				}
			})
		}
		all.Wait()
		if n := full.Load(); n != 5 {
			t.Errorf("%d questions were turned away, want 5", n)
		}
	})
}
