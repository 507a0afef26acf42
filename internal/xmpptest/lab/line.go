package lab

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"
)

const nsDialback = "jabber:server:dialback"

// line is one stream of a Pretend.
type line struct {
	conn net.Conn
	dec  *xml.Decoder
	id   string // of the stream, made by the side that was called
	name string
	log  func(format string, args ...any)
	mu   sync.Mutex // writing
}

const streamHeader = "<?xml version='1.0'?><stream:stream xmlns='jabber:server' xmlns:db='" + nsDialback + "' xmlns:stream='" + nsStream + "'"

// accept answers the header of a caller, and its second one after TLS when there is a configuration for it.
func (s *line) accept(config *tls.Config) error {
	if err := s.answerHeader(config != nil, "<starttls xmlns='"+nsTLS+"'><required/></starttls>"); err != nil || config == nil {
		return err
	}
	e, err := s.next()
	if err != nil {
		return err
	}
	if e.XMLName != (xml.Name{Space: nsTLS, Local: "starttls"}) {
		return fmt.Errorf("the caller does not start TLS but sends %s", e)
	}
	if err := s.write("<proceed xmlns='%s'/>", nsTLS); err != nil {
		return err
	}
	s.conn = tls.Server(s.conn, config)
	return s.answerHeader(true, "<dialback xmlns='urn:xmpp:features:dialback'/>")
}

// answerHeader reads a header and sends ours: to a server of our kind without version, features and "from".
func (s *line) answerHeader(modern bool, feature string) error {
	s.dec = xml.NewDecoder(s.conn)
	header, err := nextStart(s.dec)
	if err != nil {
		return fmt.Errorf("waiting for a stream header: %w", err)
	}
	s.log("%s > <%s %v>", s.name, header.Name.Local, header.Attr)
	s.id = rand.Text()
	if modern {
		return s.write("%s id='%s' version='1.0'><stream:features>%s</stream:features>", streamHeader, s.id, feature)
	}
	return s.write("%s id='%s'>", streamHeader, s.id)
}

// initiate sends a header and reads the answer. A server with a configuration for TLS is a modern one: it names itself, and uses TLS
// where it is offered, with the certificate that it would show as a server.
func (s *line) initiate(config *tls.Config, from, to string) error {
	modern := config != nil
	attributes := " to='" + to + "'"
	if modern {
		attributes += " from='" + from + "' version='1.0'"
	}
	header := func() error {
		s.dec = xml.NewDecoder(s.conn)
		if err := s.write("%s%s>", streamHeader, attributes); err != nil {
			return err
		}
		start, err := nextStart(s.dec)
		if err != nil {
			return fmt.Errorf("waiting for the stream header of %s: %w", to, err)
		}
		root := Stanza{Attrs: start.Attr}
		if s.id = root.Attr("id"); s.id == "" {
			return errors.New("the stream header has no id")
		}
		return nil
	}
	if err := header(); err != nil || !modern {
		return err
	}
	features, err := s.next()
	if err != nil {
		return err
	}
	if features.Child(nsTLS, "starttls") == nil {
		return nil
	}
	if err := s.write("<starttls xmlns='%s'/>", nsTLS); err != nil {
		return err
	}
	if e, err := s.next(); err != nil || e.XMLName.Local != "proceed" {
		return fmt.Errorf("starting TLS: %v %w", e, err)
	}
	s.conn = tls.Client(s.conn, &tls.Config{ServerName: to, InsecureSkipVerify: true, Certificates: config.Certificates})
	if err := header(); err != nil {
		return err
	}
	_, err = s.next()
	return err
}

// next returns the next element.
func (s *line) next() (*Stanza, error) {
	e, err := nextElement(s.dec)
	if err == nil {
		s.log("%s > %s", s.name, e)
	}
	return e, err
}

// drain reads what comes on a stream that is for sending only, until it ends.
func (s *line) drain() {
	_ = s.conn.SetReadDeadline(time.Time{})
	for {
		if _, err := s.next(); err != nil {
			_ = s.conn.Close()
			return
		}
	}
}

func (s *line) write(format string, args ...any) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	raw := fmt.Sprintf(format, args...)
	s.log("%s < %s", s.name, raw)
	_, err := io.WriteString(s.conn, raw)
	return err
}

// lookupXMPP asks the laboratory's DNS where the server of a domain is: SRV, then the address of its target.
func (h *Host) lookupXMPP(domain string) (netip.AddrPort, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for _, answer := range h.ask(ctx, "_xmpp-server._tcp."+domain, dns.TypeSRV) {
		srv, ok := answer.(*dns.SRV)
		if !ok {
			continue
		}
		for _, answer := range h.ask(ctx, srv.Target, dns.TypeA) {
			if a, ok := answer.(*dns.A); ok {
				addr, _ := netip.AddrFromSlice(a.A.To4())
				return netip.AddrPortFrom(addr, srv.Port), nil
			}
		}
	}
	return netip.AddrPort{}, fmt.Errorf("DNS knows no server for %s", domain)
}

// ask returns the answers of the laboratory's DNS, none when it has none.
func (h *Host) ask(ctx context.Context, name string, kind uint16) []dns.RR {
	conn, err := h.Dial(ctx, "udp", h.lab.dns.Addr.String())
	if err != nil {
		return nil
	}
	defer conn.Close()
	client := &dns.Client{Timeout: 5 * time.Second}
	reply, _, err := client.ExchangeWithConnContext(ctx, new(dns.Msg).SetQuestion(dns.Fqdn(name), kind), &dns.Conn{Conn: conn})
	if err != nil {
		return nil
	}
	return reply.Answer
}

// escape makes text fit for an attribute or for character data.
func escape(text string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(text))
	return b.String()
}
