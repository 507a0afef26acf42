package directory

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	ber "github.com/go-asn1-ber/asn1-ber"
	"github.com/go-ldap/ldap/v3"

	"sallyport/internal/peer"
	"sallyport/policy"
)

func feed(t *testing.T, c Config) *policy.Feed {
	t.Helper()
	f, err := New(c)
	must(t, err)
	f.Log = slog.New(slog.DiscardHandler)
	return f
}

func refused(t *testing.T, c Config) error {
	t.Helper()
	_, _, err := feed(t, c).Source.Fetch(t.Context(), "")
	return err
}

type membership map[string]map[string]struct{}

// fetch asks a directory, and has policy take the answer.
func fetch(t *testing.T, c Config) membership {
	t.Helper()
	f := feed(t, c)
	text, _, err := f.Source.Fetch(t.Context(), "")
	must(t, err)
	return membershipOf(t, f, text)
}

func membershipOf(t *testing.T, f *policy.Feed, text []byte) membership {
	t.Helper()
	s, err := f.Source.Open(text, nil)
	must(t, err)
	_, err = policy.New(policy.Config{Supplies: []policy.Supply{s}}, policy.Data{"federation": "open"})
	must(t, err)
	var d struct{ Groups membership }
	must(t, json.Unmarshal(text, &d))
	return d.Groups
}

func TestConfigFaults(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		config Config
		fault  string
	}{
		"another scheme":         {Config{URL: "http://x.example"}, "url: "},
		"no host":                {Config{URL: "ldaps:///"}, "url: "},
		"a password in the URL":  {Config{URL: "ldaps://u:p@x.example"}, "url: "},
		"a filter in the URL":    {Config{URL: "ldaps://x.example/dc=x?uid"}, "url: "},
		"no authority":           {Config{Roots: "/nonexistent"}, "roots: "},
		"who is nobody":          {Config{BindDN: "gate", SecretFile: "x"}, "bind_dn: "},
		"who has no password":    {Config{BindDN: "cn=gate"}, "bind_dn: "},
		"a password for nobody":  {Config{SecretFile: "x"}, "bind_dn: "},
		"a base that is none":    {Config{Base: "people"}, "base: "},
		"a filter that is none":  {Config{Filter: "mail=*"}, "filter: "},
		"a filter that ends not": {Config{GroupFilter: "(&(cn=*)"}, "group_filter: "},
	} {
		if test.config.URL == "" {
			test.config.URL = "ldaps://x.example"
		}
		if _, err := New(test.config); err == nil || !strings.HasPrefix(err.Error(), test.fault) {
			t.Errorf("%s: %v, want %s", name, err, test.fault)
		}
	}
}

func entry(dn string, attributes map[string][]string) *ldap.Entry {
	return ldap.NewEntry(dn, attributes)
}

// What a directory says of a group is taken whole or not at all, and no value of it becomes an address that it is not.
func TestTree(t *testing.T) {
	t.Parallel()
	c := Config{}.withDefaults()
	c.Domain = "corp.example"
	c.Address = "uid"
	tr := newTree(&c)
	for i, uid := range []string{"juliet", "ceo@corp.example", "x/y", "", "a b"} {
		must(t, tr.person(entry(fmt.Sprintf("cn=p%d", i), map[string][]string{"UID": {uid}})))
	}
	must(t, tr.group(entry("cn=all", map[string][]string{"cn": {"all"}, "member": {"CN=P0", "cn=p1", "cn=p2", "cn=p3", "cn=p4"}})))
	must(t, tr.group(entry("cn=nameless", map[string][]string{"member": {"cn=p0"}})))
	text, err := tr.document()
	if want := `{"groups":{"all":{"juliet@corp.example":{}}}}`; err != nil || string(text) != want {
		t.Errorf("%s, %v, want %s", text, err, want)
	}
	for fault, e := range map[string]*ldap.Entry{
		"two groups are called": entry("cn=other,ou=x", map[string][]string{"cn": {"all"}}),
		"in parts":              entry("cn=long", map[string][]string{"cn": {"long"}, "member;range=0-1499": {"cn=p0"}}),
		"no distinguished name": entry("cn=odd", map[string][]string{"cn": {"odd"}, "member": {"juliet"}}),
	} {
		if err := tr.group(e); err == nil || !strings.Contains(err.Error(), fault) {
			t.Errorf("%v: %v, want %s", e, err, fault)
		}
	}
}

// pretend is a server that answers each message as it is told to.
func pretend(t *testing.T, answer func(conn net.Conn, m *ber.Packet) bool) Config {
	t.Helper()
	ca, err := peer.NewAuthority("Directory Authority")
	must(t, err)
	id, err := ca.Issue("localhost")
	must(t, err)
	roots := filepath.Join(t.TempDir(), "ca.pem")
	must(t, os.WriteFile(roots, ca.PEM, 0o600))
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			raw, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer raw.Close()
				conn := tls.Server(raw, &tls.Config{Certificates: []tls.Certificate{id.TLS}})
				for {
					m, err := ber.ReadPacket(conn)
					if err != nil || !answer(conn, m) {
						return
					}
				}
			}()
		}
	}()
	_, port, _ := net.SplitHostPort(ln.Addr().String())
	return Config{URL: "ldaps://localhost:" + port, Roots: roots, Base: "dc=x", Bytes: 1 << 20, Entries: 1000}
}

// reply is an LDAP message in answer to another.
func reply(to *ber.Packet, op ber.Tag, content ...*ber.Packet) []byte {
	m := ber.NewSequence("")
	m.AppendChild(ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagInteger, to.Children[0].Value.(int64), ""))
	o := ber.Encode(ber.ClassApplication, ber.TypeConstructed, op, nil, "")
	for _, c := range content {
		o.AppendChild(c)
	}
	m.AppendChild(o)
	return m.Bytes()
}

func octets(s string) *ber.Packet {
	return ber.NewString(ber.ClassUniversal, ber.TypePrimitive, ber.TagOctetString, s, "")
}

// A server that says nothing, ever more, or nonsense is given up within the bounds.
func TestOddServers(t *testing.T) {
	t.Parallel()
	found := func(m *ber.Packet, n int) []byte {
		return reply(m, ldap.ApplicationSearchResultEntry, octets(fmt.Sprintf("cn=%d", n)), ber.NewSequence(""))
	}
	done := func(m *ber.Packet, cookie string) []byte {
		r := ber.DecodePacket(reply(m, ldap.ApplicationSearchResultDone, ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagEnumerated, 0, ""), octets(""), octets("")))
		paging := ldap.NewControlPaging(0)
		paging.SetCookie([]byte(cookie))
		controls := ber.Encode(ber.ClassContext, ber.TypeConstructed, 0, nil, "")
		controls.AppendChild(paging.Encode())
		r.AppendChild(controls)
		return r.Bytes()
	}
	for name, test := range map[string]struct {
		answer func(net.Conn, *ber.Packet) bool
		fault  string
	}{
		"silent": {func(net.Conn, *ber.Packet) bool { return true }, "directory.timeout"},
		"endless": {func(c net.Conn, m *ber.Packet) bool {
			for {
				if _, err := c.Write(found(m, 0)); err != nil {
					return false
				}
			}
		}, "directory.bytes"},
		"one entry without an end": {func(c net.Conn, m *ber.Packet) bool {
			c.Write([]byte{0x30, 0x84, 0x7f, 0xff, 0xff, 0xff, 0x04, 0x84, 0x7f, 0xff, 0xff, 0xf0})
			for {
				if _, err := c.Write(make([]byte, 4096)); err != nil {
					return false
				}
			}
		}, "directory.bytes"},
		"too many": {func(c net.Conn, m *ber.Packet) bool {
			for n := range 1001 {
				c.Write(found(m, n))
			}
			c.Write(done(m, ""))
			return true
		}, "directory.entries"},
		"empty pages for ever": {func(c net.Conn, m *ber.Packet) bool { c.Write(done(m, "more")); return true }, "page after page"},
		"nested without an end": {func(c net.Conn, m *ber.Packet) bool {
			c.Write([]byte(strings.Repeat("\x30\x80", 100000)))
			return true
		}, "asking for people"},
		"nonsense":     {func(c net.Conn, m *ber.Packet) bool { c.Write([]byte("HTTP/1.1 200 OK\r\n\r\n")); return true }, "directory.timeout"},
		"gone at once": {func(net.Conn, *ber.Packet) bool { return false }, "asking for people"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := feed(t, pretend(t, test.answer))
			patience := time.Minute
			if test.fault == "directory.timeout" {
				patience = 50 * time.Millisecond
			}
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			if _, _, err := f.Source.Fetch(ctx, ""); err == nil || !strings.Contains(err.Error(), test.fault) {
				t.Errorf("%v, want %s", err, test.fault)
			}
		})
	}
}

// A server may say nothing at all, or too much, before there is TLS.
func TestOddBeforeTLS(t *testing.T) {
	t.Parallel()
	for _, scheme := range []string{"ldap", "ldaps"} {
		for name, say := range map[string]func(net.Conn){
			"silent": func(c net.Conn) { io.Copy(io.Discard, c) },
			"endless": func(c net.Conn) {
				for {
					if _, err := c.Write([]byte{0x30, 0x84, 0x7f, 0xff, 0xff, 0xff, 0x04, 0x84, 0x7f, 0xff, 0xff, 0xf0}); err != nil {
						return
					}
				}
			},
		} {
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			must(t, err)
			t.Cleanup(func() { ln.Close() })
			go func() {
				for {
					c, err := ln.Accept()
					if err != nil {
						return
					}
					go say(c)
				}
			}()
			_, port, _ := net.SplitHostPort(ln.Addr().String())
			f := feed(t, Config{URL: scheme + "://localhost:" + port, Base: "dc=x"})
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			if _, _, err := f.Source.Fetch(ctx, ""); err == nil || name == "silent" && !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%s, %s: %v", scheme, name, err)
			}
			cancel()
		}
	}
}
