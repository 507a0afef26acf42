package lab

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// IRCServer is what the gateway of [Lab.Biboumi] has to be given for the network behind it: the part after % of an address
// (XEP-0100 §6.5).
const IRCServer = "127.0.0.1"

// Biboumi starts an IRC network of one server, ngIRCd, and the gateway to it, both on the host of s, whose Gateway the gateway is.
func (l *Lab) Biboumi(s *Server, domain string) *Server {
	l.t.Helper()
	dir := filepath.Join(l.dir, s.Host.name+"-biboumi")
	g := &Server{name: "biboumi", Domain: domain, Host: s.Host, lab: l}
	l.write(dir+"/ngircd.conf", "[Global]\nName = irc.corp.test\nInfo = lab\nListen = "+IRCServer+"\nPorts = 6667\nMotdPhrase = \"hello\"\nServerUID = irc\nServerGID = irc\n"+
		"[Limits]\nMaxConnectionsIP = 0\nMaxJoins = 0\n[Options]\nDNS = no\nIdent = no\nPAM = no\n")
	l.write(dir+"/biboumi.cfg", fmt.Sprintf("hostname=%s\npassword=%s\nxmpp_server_ip=127.0.0.1\nport=5347\nidentd_port=0\nlog_level=0\ndb_name=%s/biboumi.sqlite\n", domain, Password, dir))
	g.start = func(ctx context.Context) error {
		if err := s.wait(); err != nil {
			return err
		}
		if err := g.run(ctx, Command{Name: "ngircd", Args: []string{"/usr/sbin/ngircd", "-n", "-f", dir + "/ngircd.conf"}}, s.loopback(6667)); err != nil {
			return err
		}
		if err := g.run(ctx, Command{Name: "biboumi", Args: []string{"/usr/bin/biboumi", dir + "/biboumi.cfg"}}); err != nil {
			return err
		}
		return g.logged(ctx, "Authenticated with the XMPP server")
	}
	l.launch(g)
	return g
}

// IRCUser is a person on the IRC network of [Lab.Biboumi], who has no Jabber.
type IRCUser struct {
	conn  net.Conn
	lines *bufio.Scanner
}

// IRCUser logs a person in on the IRC server of g's host, and joins the channel.
func (l *Lab) IRCUser(t testing.TB, g *Server, nick, channel string) *IRCUser {
	t.Helper()
	conn, err := g.Host.Dial(t.Context(), "tcp", g.loopback(6667).String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	u := &IRCUser{conn: conn, lines: bufio.NewScanner(conn)}
	u.send(t, "NICK "+nick+"\r\nUSER "+nick+" 0 * :"+nick)
	u.Expect(t, " 001 ")
	u.send(t, "JOIN "+channel)
	u.Expect(t, " 366 ") // the end of the list of who is there
	return u
}

// Say writes to a channel or a person.
func (u *IRCUser) Say(t testing.TB, to, text string) {
	t.Helper()
	u.send(t, "PRIVMSG "+to+" :"+text)
}

func (u *IRCUser) send(t testing.TB, line string) {
	t.Helper()
	if _, err := fmt.Fprintf(u.conn, "%s\r\n", line); err != nil {
		t.Fatal(err)
	}
}

// Expect returns the next line with text in it (RFC 2812 §2.3).
func (u *IRCUser) Expect(t testing.TB, text string) string {
	t.Helper()
	if err := u.conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	for u.lines.Scan() {
		line := u.lines.Text()
		if rest, ok := strings.CutPrefix(line, "PING "); ok {
			u.send(t, "PONG "+rest)
		}
		if strings.Contains(line, text) {
			return line
		}
	}
	t.Fatalf("the IRC server does not say %q: %v", text, u.lines.Err())
	return ""
}
