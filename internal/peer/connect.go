package peer

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"time"
)

// connect finds the pair's other side and brings a stream to it as far as it goes without a proof: header, features, and TLS
// when the server is of that kind. The stream's deadline stands until a proof lifts it.
func (s *Server) connect(ctx context.Context, p Pair) (*wire, error) {
	places, err := s.directory.find(ctx, p.Remote)
	if err != nil {
		return nil, err
	}
	conn, err := s.dial(ctx, p, places)
	if err != nil {
		return nil, err
	}
	conn.SetDeadline(time.Now().Add(setupTime))
	w := newWire(conn)
	err = s.greet(w, p)
	if err == nil && s.tls != nil {
		if err = s.startTLS(ctx, w, p); err == nil {
			err = s.greet(w, p)
		}
	}
	if err != nil {
		w.close(err)
		return nil, err
	}
	return w, nil
}

func (s *Server) dial(ctx context.Context, p Pair, places []string) (net.Conn, error) {
	var faults []error
	for _, place := range places {
		conn, err := s.hooks.Dial(ctx, p, place)
		if err == nil {
			return conn, nil
		}
		faults = append(faults, err)
	}
	return nil, errors.Join(faults...)
}

// greet exchanges headers, and takes the features where both sides speak XMPP 1.0, RFC 6120 §4.3.2.
func (s *Server) greet(w *wire, p Pair) error {
	h := header{Version: s.version}
	if s.named {
		h.From, h.To = p.Local, p.Remote
	}
	if err := w.write(headerTag(h)); err != nil {
		return err
	}
	if err := w.readHeader(); err != nil {
		return err
	}
	if !s.version || !w.peer.Version {
		return nil
	}
	el, err := w.next()
	if err != nil {
		return err
	}
	if !el.is(nsStream, "features") {
		return fmt.Errorf("%s sent <%s/> where features were due", p.Remote, el.XMLName.Local)
	}
	w.features = el
	return nil
}

// startTLS is the initiating side of RFC 6120 §5.4. A server that does not offer TLS gets nothing from us.
func (s *Server) startTLS(ctx context.Context, w *wire, p Pair) error {
	if w.features.child(nsTLS, "starttls") == nil {
		return fmt.Errorf("%s offers no TLS, and we send nothing without", p.Remote)
	}
	if err := w.write("<starttls xmlns='" + nsTLS + "'/>"); err != nil {
		return err
	}
	el, err := w.next()
	if err != nil {
		return err
	}
	if !el.is(nsTLS, "proceed") {
		return fmt.Errorf("%s answered <starttls/> with <%s/>", p.Remote, el.XMLName.Local)
	}
	return w.secure(ctx, func(c net.Conn) *tls.Conn { return tls.Client(c, s.tls.client(p.Remote)) })
}
