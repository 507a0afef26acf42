package load

import (
	"context"
	"crypto/sha1"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"sallyport/internal/peer"
)

// ErrNotInstalled says that a server to compare with is not on this machine.
var ErrNotInstalled = errors.New("not installed")

// Server is a real server, measured without a gate: TLS towards the remote end, a component (XEP-0114) behind it.
type Server struct {
	Name    string
	needs   string                                      // a program that is there when the server is installed
	write   func(dir string, v map[string]string) error // its configuration, with the places filled in
	command func(dir string) command
}

// secret is what the component and its server share.
const secret = "secret"

// Direct starts a real server in an empty directory and brings the links of both directions up. It returns ErrNotInstalled
// where the server is not on the machine.
func Direct(ctx context.Context, server Server, dir string) (_ *Subject, err error) {
	if _, err := exec.LookPath(server.needs); err != nil {
		return nil, ErrNotInstalled
	}
	s, ctx, err := newSubject(ctx, server.Name+" direct", directDomain)
	defer func() {
		if err != nil {
			s.Close()
			err = fmt.Errorf("measuring %s: %w", server.Name, err)
		}
	}()
	if err != nil {
		return nil, err
	}
	ports, err := peer.Reserve(2)
	if err != nil {
		return nil, err
	}
	s.place = ports[0]
	remote, names, err := s.remoteEnd(ctx)
	if err != nil {
		return nil, err
	}
	if err := writeServer(server, dir, s.authority, ports, names); err != nil {
		return nil, err
	}
	p, err := s.launch(ctx, server.command(dir))
	if err != nil {
		return nil, err
	}
	if err := p.until(ctx, func() bool { return listens(ports[0]) && listens(ports[1]) }); err != nil {
		return nil, err
	}
	if err := s.attach(ctx, remote, ports[1]); err != nil {
		return nil, p.fault(err)
	}
	return s, nil
}

// attach connects the component and brings the links up.
func (s *Subject) attach(ctx context.Context, remote *peer.Server, place string) error {
	conn, err := component(ctx, place, s.local.domain, s.local.in)
	if err != nil {
		return err
	}
	s.onClose(func() { conn.Close() })
	s.local.w = conn
	return errors.Join(connect(ctx, remote, s.remote, s.local), s.local.greet(ctx, s.remote))
}

func writeServer(server Server, dir string, ca *peer.Authority, ports []string, names string) error {
	id, err := ca.Issue(directHost, directDomain)
	if err != nil {
		return err
	}
	_, s2s, _ := net.SplitHostPort(ports[0])
	_, comp, _ := net.SplitHostPort(ports[1])
	_, dns, _ := net.SplitHostPort(names)
	return errors.Join(
		os.WriteFile(filepath.Join(dir, "cert.pem"), id.Cert, 0o644),
		os.WriteFile(filepath.Join(dir, "key.pem"), id.Key, 0o600),
		os.WriteFile(filepath.Join(dir, "both.pem"), append(append([]byte{}, id.Cert...), id.Key...), 0o600),
		server.write(dir, map[string]string{"@S2S@": s2s, "@COMPONENT@": comp, "@DNS@": dns, "@DIR@": dir}),
	)
}

// fill writes a template with its places filled in.
func fill(path, template string, v map[string]string) error {
	for name, value := range v {
		template = strings.ReplaceAll(template, name, value)
	}
	return os.WriteFile(path, []byte(template), 0o644)
}

// component connects as an external component, XEP-0114 §3, and counts what arrives for it.
func component(ctx context.Context, place, domain string, in *Counter) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", place)
	if err != nil {
		return nil, err
	}
	fmt.Fprintf(conn, "<?xml version='1.0'?><stream:stream xmlns='jabber:component:accept' xmlns:stream='http://etherx.jabber.org/streams' to='%s'>", domain)
	dec := xml.NewDecoder(byteReader{conn})
	for {
		tok, err := dec.Token()
		if err != nil {
			conn.Close()
			return nil, fmt.Errorf("connecting as %s: %w", domain, err)
		}
		start, ok := tok.(xml.StartElement)
		switch {
		case !ok:
		case start.Name.Local == "stream":
			sum := sha1.Sum([]byte(attribute(start, "id") + secret))
			fmt.Fprintf(conn, "<handshake>%s</handshake>", hex.EncodeToString(sum[:]))
		case start.Name.Local == "handshake":
			if err := dec.Skip(); err != nil {
				conn.Close()
				return nil, err
			}
			go in.Read(conn)
			return conn, nil
		default:
			conn.Close()
			return nil, fmt.Errorf("connecting as %s: it said <%s/>", domain, start.Name.Local)
		}
	}
}

func attribute(start xml.StartElement, name string) string {
	for _, a := range start.Attr {
		if a.Name.Local == name && a.Name.Space == "" {
			return a.Value
		}
	}
	return ""
}

// byteReader keeps the decoder from reading further than it has to.
type byteReader struct{ io.Reader }

func (r byteReader) ReadByte() (byte, error) {
	var b [1]byte
	_, err := io.ReadFull(r.Reader, b[:])
	return b[0], err
}
