package proxy_test

import (
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// slow is a peer that wants to be waited for. It says its script one byte every ten seconds, then nothing.
type slow struct {
	name   string
	door   string
	fast   string // said at once, ahead of it
	script string
	until  time.Duration // when the gate has had enough
	hears  string
}

const (
	strangerSays = "<stream:stream xmlns='jabber:server' xmlns:db='jabber:server:dialback' xmlns:stream='http://etherx.jabber.org/streams' from='remote.example' to='corp.example' version='1.0'>"
	starttls     = "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"
	tooSlow      = "<stream:error><connection-timeout "
)

// ABUSE 42, [C31], PROTOCOL 11.8, with the limits as they are when nobody sets them: a peer that says nothing, or a byte every ten seconds,
// is told that its time is over and cut off, whatever it is in the middle of.
func TestABUSE42SlowLoris(t *testing.T) {
	t.Parallel()
	for _, x := range []slow{
		{"no byte", "outside", "", "", 30 * time.Second, tooSlow},
		{"the header byte by byte", "outside", "", strangerSays, 30 * time.Second, tooSlow},
		{"spaces ahead of the header", "outside", "", strings.Repeat(" ", 1000), 30 * time.Second, tooSlow},
		{"nothing behind the header", "outside", strangerSays, "", 30 * time.Second, tooSlow},
		{"an element byte by byte", "outside", strangerSays, dbOpen, 30 * time.Second, tooSlow},
		{"spaces behind the header", "outside", strangerSays, strings.Repeat(" ", 1000), 30 * time.Second, tooSlow},
		{"a question, then nothing", "outside", strangerSays + "<db:verify from='remote.example' to='corp.example' id='i'>k</db:verify>", "", 30 * time.Second, tooSlow},
		{"no handshake", "outside", strangerSays + starttls, "", 15 * time.Second, "<proceed "},
		{"a handshake byte by byte", "outside", strangerSays + starttls, "\x16\x03\x01\x02\x00" + strings.Repeat("\x01", 512), 15 * time.Second, "<proceed "},
		{"no byte, inside", "inside", "", "", 60 * time.Second, tooSlow},
		{"an element byte by byte, inside", "inside", strings.ReplaceAll(strangerSays, "from='remote.example' to='corp.example'", "to='remote.example'"), dbOpen, 60 * time.Second, tooSlow},
	} {
		t.Run(x.name, func(t *testing.T) { synctest.Test(t, x.test) })
	}
}

func (x slow) test(t *testing.T) {
	_, outside, inside := newBubble(t, options{})
	begun := time.Now()
	door := outside
	if x.door == "inside" {
		door = inside
	}
	conn := door.dial("127.0.0.1:40000")
	var says sync.WaitGroup
	defer says.Wait()
	defer conn.Close()
	says.Go(func() {
		io.WriteString(conn, x.fast)
		for i := range len(x.script) {
			time.Sleep(10 * time.Second)
			if _, err := io.WriteString(conn, x.script[i:i+1]); err != nil {
				return
			}
		}
	})
	var heard strings.Builder
	io.Copy(&heard, conn)
	// The peer has a second to read the error.
	if took := time.Since(begun); took < x.until || took > x.until+time.Second {
		t.Errorf("cut off after %v, want %v", took, x.until)
	}
	if !strings.Contains(heard.String(), x.hears) {
		t.Errorf("heard %q, want %s", heard.String(), x.hears)
	}
}

// ABUSE 42, [M13]: while the slow ones of one address hold all that one address may hold, others come in; when all that the door takes is
// held, nobody does, without a byte; and when their time is over, there is room again.
func TestABUSE42CapsHold(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, outside, _ := newBubble(t, options{})
		settings := s.settings(options{})
		settings.Limits.Connections, settings.Limits.PerAddress = 20, 5
		s.proxy.Apply(settings)
		var held sync.WaitGroup
		from := func(address string) net.Conn { return outside.dial(address + ":40000") }
		hold := func(conn net.Conn) { held.Go(func() { io.Copy(io.Discard, conn); conn.Close() }) }
		refused := func(conn net.Conn) {
			t.Helper()
			if b, err := io.ReadAll(conn); len(b) > 0 || err != nil {
				t.Errorf("came %q, %v; want the end without a byte", b, err)
			}
		}
		begun := time.Now()
		for i := range 4 {
			address := fmt.Sprintf("192.0.2.%d", i+1)
			for range 5 {
				hold(from(address))
			}
			if i < 3 {
				refused(from(address))
			}
		}
		refused(from("192.0.2.100"))
		if time.Since(begun) != 0 {
			t.Error("a refusal took time")
		}
		held.Wait()
		if took := time.Since(begun); took < 30*time.Second || took > 31*time.Second {
			t.Errorf("the slow ones held their places for %v", took)
		}
		synctest.Wait() // a place is given back behind the last byte
		conn := from("192.0.2.1")
		io.WriteString(conn, strangerSays)
		var b [14]byte
		if _, err := io.ReadFull(conn, b[:]); err != nil || string(b[:5]) != "<?xml" {
			t.Errorf("there is no room again: %q, %v", b, err)
		}
		conn.Close()
	})
}

// [M13], ABUSE 42: an IPv6 address is one of a /64 that its holder has to himself: the /64 is what is counted.
func TestABUSE42OneIPv6Network(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, outside, _ := newBubble(t, options{})
		settings := s.settings(options{})
		settings.Limits.PerAddress = 2
		s.proxy.Apply(settings)
		greeted := func(from string) bool {
			conn := outside.dial(from)
			t.Cleanup(func() { conn.Close() })
			conn.SetDeadline(time.Now().Add(time.Second))
			io.WriteString(conn, strangerSays)
			var b [5]byte
			io.ReadFull(conn, b[:])
			return string(b[:]) == "<?xml"
		}
		for _, x := range []struct {
			from string
			want bool
		}{{"[2001:db8::1]:1", true}, {"[2001:db8::2]:1", true}, {"[2001:db8::ffff:0:0:3]:1", false}, {"[2001:db8:0:1::1]:1", true},
			{"[::ffff:192.0.2.1]:1", true}, {"192.0.2.2:1", true}, {"192.0.2.1:2", true}, {"192.0.2.1:3", false}} {
			if greeted(x.from) != x.want {
				t.Errorf("%s is let in: %v", x.from, !x.want)
			}
		}
	})
}
