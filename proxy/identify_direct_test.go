package proxy_test

import (
	"crypto/tls"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"sallyport/internal/jid"
	"sallyport/internal/resolve"
	"sallyport/internal/xmpptest"
	"sallyport/proxy"
)

// directDoor opens a door at which every stream begins with TLS.
func (s *stage) directDoor(t *testing.T) {
	t.Helper()
	ln := listen(t)
	s.Doors["direct"] = ln.Addr().String()
	go s.proxy.ServeDirect(ln)
}

// afterTLS is what a peer that begins with TLS hears: EXTERNAL where its certificate is good, and no STARTTLS.
const afterTLS = `
r sends header from='remote.example' to='corp.example' version='1.0'
r receives header from='corp.example' to='remote.example' id='{p1}'
r receives <stream:features><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>EXTERNAL</mechanism></mechanisms><dialback xmlns='urn:xmpp:features:dialback'><errors/></dialback>…</stream:features>
`

// XEP-0368, [M08]: streams that begin with TLS come in by both kinds of doors. ALPN may be missing, but not be another protocol's; a
// name that is not ours in SNI gets the first certificate, and the stream header decides.
func TestDirectTLSInbound(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*tls.Config){
		"with ALPN":                func(c *tls.Config) { c.NextProtos = []string{"xmpp-server"} },
		"with ALPN among others":   func(c *tls.Config) { c.NextProtos = []string{"h2", "xmpp-server"} },
		"without ALPN":             func(*tls.Config) {},
		"without SNI":              func(c *tls.Config) { c.ServerName, c.InsecureSkipVerify = "", true },
		"with another name as SNI": func(c *tls.Config) { c.ServerName, c.InsecureSkipVerify = "nobody.example", true },
		"TLS 1.2":                  func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 },
	} {
		for _, door := range []string{"outside", "direct"} {
			t.Run(door+", "+name, func(t *testing.T) {
				t.Parallel()
				s := newStage(t, options{})
				s.directDoor(t)
				change(s.Client["good"])
				xmpptest.Converse(t, s.Stage, "r connects "+door+"\nr tls client good\n"+afterTLS+`
r sends <db:result from='remote.example' to='corp.example'>anything</db:result>
r receives <db:result from='corp.example' to='remote.example' type='valid'/>
r sends <message from='juliet@remote.example/x' to='romeo@corp.example' id='m1'/>
`+include(t, "_backend_takes")+`
b receives <message from='juliet@remote.example/x' to='romeo@corp.example' id='m1'/>
record has link.open "channel":"tls" "proof":"pkix"`)
			})
		}
	}
}

// XEP-0368 §3: EXTERNAL on a stream that began with TLS, and no second TLS within it.
func TestDirectTLSInboundExternal(t *testing.T) {
	t.Parallel()
	s := newStage(t, options{})
	s.directDoor(t)
	xmpptest.Converse(t, s.Stage, "r connects direct\nr tls client good\n"+afterTLS+`
r sends <auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>=</auth>
r receives <success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>
r sends header from='remote.example' to='corp.example' version='1.0'
r receives header id='{p2}'
r receives <stream:features>…</stream:features>
record has link.open "proof":"pkix"`)
	xmpptest.Converse(t, s.Stage, "r connects direct\nr tls client good\n"+afterTLS+`
r sends <starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>
r receives <failure xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>
r receives </stream:stream>`)
}

// [M08]: another protocol's ALPN ends the handshake, and so does a version that is too old.
func TestDirectTLSInboundRefused(t *testing.T) {
	t.Parallel()
	s := newStage(t, options{})
	s.directDoor(t)
	s.Client["web"], s.Client["old"] = s.ca.client(t, remote), s.ca.client(t, remote)
	s.Client["web"].NextProtos = []string{"h2", "http/1.1"}
	s.Client["old"].MinVersion, s.Client["old"].MaxVersion = tls.VersionTLS10, tls.VersionTLS11
	for _, door := range []string{"outside", "direct"} {
		for _, client := range []string{"web", "old"} {
			xmpptest.Converse(t, s.Stage, "r connects "+door+"\nr tls client "+client+" fails")
		}
	}
}

// What is no TLS gets no byte at a door for TLS; at a door for both it is a stream header that cannot be read. Neither holds a connection
// for longer than a peer that is not proved may, whatever it stops at (ABUSE 42).
func TestDirectTLSFirstBytes(t *testing.T) {
	t.Parallel()
	s := newStage(t, options{limits: func(l *proxy.Limits) { l.PreAuthTime[proxy.Outside] = time.Second }})
	s.directDoor(t)
	const inTime = 10 * time.Second
	for name, x := range map[string]struct{ door, send, hears string }{
		"direct, a stream in clear":            {"direct", "<?xml version='1.0'?><stream:stream to='corp.example'>", ""},
		"direct, an alert":                     {"direct", "\x15\x03\x01\x00\x02\x02\x28", ""},
		"direct, nothing":                      {"direct", "", ""},
		"direct, the first byte of TLS":        {"direct", "\x16", ""},
		"direct, half a handshake":             {"direct", "\x16\x03\x01\x02\x00\x01", ""},
		"direct, a record that is no TLS":      {"direct", "\x16<stream:stream>", ""},
		"both, an alert":                       {"outside", "\x15\x03\x01\x00\x02\x02\x28", "<stream:error>"},
		"both, nothing":                        {"outside", "", "<connection-timeout"},
		"both, the first byte of TLS":          {"outside", "\x16", ""},
		"both, half a handshake":               {"outside", "\x16\x03\x01\x02\x00\x01", ""},
		"both, the first byte of a stream":     {"outside", "<", "<connection-timeout"},
		"both, garbage":                        {"outside", "\xff\xfe\x00\x00GET / HTTP/1.1\r\n\r\n", "<stream:error>"},
		"both, a record longer than it may be": {"outside", "\x16\x03\x01\xff\xff" + strings.Repeat("\x00", 64), "\x15"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn, err := net.Dial("tcp", s.Doors[x.door])
			must(t, err)
			defer conn.Close()
			_, err = io.WriteString(conn, x.send)
			must(t, err)
			conn.SetReadDeadline(time.Now().Add(inTime))
			heard, err := io.ReadAll(conn)
			if ne, ok := err.(net.Error); ok && ne.Timeout() {
				t.Fatal("the connection still stands")
			}
			if x.hears == "" && len(heard) > 0 || !strings.Contains(string(heard), x.hears) {
				t.Errorf("heard %q, want %q", heard, x.hears)
			}
		})
	}
}

// The first byte may be late: it tells all the same.
func TestDirectTLSSlowFirstByte(t *testing.T) {
	t.Parallel()
	s := newStage(t, options{})
	for _, client := range []string{"tls", "clear"} {
		c := xmpptest.Begin(t, s.Stage)
		c.Play("r connects outside\nr receives nothing")
		if client == "tls" {
			c.Play("r tls client good\n" + afterTLS)
		} else {
			c.Play("r sends header from='remote.example' to='corp.example' version='1.0'\nr receives header\nr receives <stream:features><starttls…</stream:features>")
		}
	}
}

// [M07], [M08], by a route: TLS from the first byte, with the remote domain as SNI and the protocol told; what follows is as ever.
func TestDirectTLSRoute(t *testing.T) {
	t.Parallel()
	for name, x := range map[string]struct{ cert, data, ends string }{
		"a good certificate": {"good", "pkix", `
r sends <stream:features><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>EXTERNAL</mechanism></mechanisms></stream:features>
r receives <auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>Y29ycC5leGFtcGxl</auth>
r sends <success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>
r receives header from='corp.example' to='remote.example'
r sends header from='remote.example' to='corp.example' id='r3' version='1.0'
r sends <stream:features/>
r receives <message from='romeo@corp.example/pc' to='juliet@remote.example' id='m1'/>
record has link.open "proof":"pkix"`},
		"another's certificate": {"other", "pkix", "r sends <stream:features/>\nr closed\nrecord has link.fail \"step\":\"cert\"\nrecord lacks \"outcome\":\"written\""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t, options{data: policyData(t, `{"federation":"open","peers":{"remote.example":{"proof":"`+x.data+`"}}}`)})
			settings := s.settings(options{})
			route, err := resolve.ParseRoute("tls://" + s.Calls["remote"].Addr().String())
			must(t, err)
			settings.Routes[jid.MustDomain(remote)] = route
			s.proxy.Apply(settings)
			s.Server[x.cert].NextProtos = []string{"xmpp-server"}
			asked := make(chan *tls.ClientHelloInfo, 1)
			s.Server[x.cert].GetConfigForClient = func(h *tls.ClientHelloInfo) (*tls.Config, error) { asked <- h; return nil, nil }
			xmpptest.Converse(t, s.Stage, include(t, "_backend_speaks")+`
l sends <message from='romeo@corp.example/pc' to='juliet@remote.example' id='m1'/>
r accepts remote
r tls server `+x.cert+`
r receives header from='corp.example' to='remote.example'
r sends header from='remote.example' to='corp.example' id='r1' version='1.0'
`+x.ends)
			if h := <-asked; h.ServerName != remote || strings.Join(h.SupportedProtos, " ") != "xmpp-server" {
				t.Errorf("[M07] SNI %q, ALPN %q", h.ServerName, h.SupportedProtos)
			}
		})
	}
}

// [M07]: the two kinds of SRV records are tried in the order of their priorities, each in its own way; one that fails leaves the others.
func TestDirectTLSByPriority(t *testing.T) {
	t.Parallel()
	direct := func(part, place string) string {
		return part + " accepts " + place + "\n" + part + " tls server it\n" + part + " receives header from='corp.example' to='hosted.example'\n"
	}
	starttls := func(part, place string) string {
		return part + " accepts " + place + "\n" + part + " receives header from='corp.example' to='hosted.example'\n"
	}
	for name, x := range map[string]struct {
		direct, clear int
		ends          string
	}{
		"direct TLS first":  {1, 2, direct("d", "direct") + "d closes\n" + starttls("r", "remote")},
		"STARTTLS first":    {2, 1, starttls("r", "remote") + "r closes\n" + direct("d", "direct")},
		"direct TLS, alone": {1, 0, direct("d", "direct")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t, options{resolver: func(c *resolve.Config) { c.DirectTLS, c.AllowPrivate = true, true }})
			s.Calls["direct"] = listen(t)
			s.shows("it", s.ca.leaf(t, newKey(t), dnsNames(hosted)))
			zone := []string{"x." + hosted + ". 60 IN A 127.0.0.1", s.srv(x.direct, true, "direct", "x."+hosted)}
			if x.clear > 0 {
				zone = append(zone, s.srv(x.clear, false, "remote", "x."+hosted))
			}
			s.names.Set(t, zone...)
			xmpptest.Converse(t, s.Stage, strings.ReplaceAll(include(t, "_backend_speaks"), remote, hosted)+
				"l sends <message from='romeo@corp.example/pc' to='juliet@hosted.example' id='m1'/>\n"+x.ends)
		})
	}
}
