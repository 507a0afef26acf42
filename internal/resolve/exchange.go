package resolve

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"syscall"
	"time"

	"github.com/miekg/dns"
)

const (
	udpSize  = 1232 // the answer that we ask for, at the most, by UDP: it fits every path unfragmented
	udpRead  = 4096 // what we read, for servers that send more than they are asked to
	maxStray = 16   // datagrams that do not fit before we suspect forgery and ask by TCP
)

// errUncertain sends a question from UDP to TCP, where answers cannot be forged from afar: what came looks cut off, or like
// guesswork.
var errUncertain = errors.New("the answer over UDP was cut off or uncertain")

// transport carries questions to name servers and their answers back.
type transport struct {
	dial func(ctx context.Context, network, address string) (net.Conn, error)
	tls  map[Server]*tlsServer // those that are asked over TLS; set at birth
}

// newTransport makes one for the given servers. roots vouch for those that are asked over TLS; nil: the system's do.
func newTransport(servers []Server, roots *x509.CertPool, timeout time.Duration) *transport {
	t := &transport{dial: new(net.Dialer).DialContext, tls: map[Server]*tlsServer{}}
	for _, s := range servers {
		if s.TLS != "" && t.tls[s] == nil {
			t.tls[s] = newTLSServer(s, roots, timeout, t.call)
		}
	}
	return t
}

// exchange asks one server one question: over TLS; or over UDP and, where that is not enough, over TCP. The reply belongs to the
// question. A server that does not know EDNS is asked without (RFC 6891 §7).
func (t *transport) exchange(ctx context.Context, server Server, q *dns.Msg) (*dns.Msg, error) {
	reply, err := t.exchangeOnce(ctx, server, q)
	if err == nil && (reply.Rcode == dns.RcodeFormatError || reply.Rcode == dns.RcodeNotImplemented) && q.IsEdns0() != nil {
		plain := q.Copy()
		plain.Extra = nil
		reply, err = t.exchangeOnce(ctx, server, plain)
	}
	return reply, err
}

func (t *transport) exchangeOnce(ctx context.Context, server Server, q *dns.Msg) (*dns.Msg, error) {
	q = q.Copy()
	if secure, ok := t.tls[server]; ok {
		return secure.exchange(ctx, q)
	}
	disguise(q)
	reply, err := t.overUDP(ctx, server.Addr, q)
	if !errors.Is(err, errUncertain) && (err != nil || !reply.Truncated) {
		return reply, err
	}
	sure, err := t.overTCP(ctx, server.Addr, q)
	if errors.Is(err, syscall.ECONNREFUSED) && reply != nil && !reply.Truncated {
		// COMPAT: small forwarders that do not keep the case of letters and know no TCP. Nobody can close a port from afar.
		return reply, nil
	}
	return sure, err
}

// disguise makes an answer hard to forge for those who cannot see the question: a random id, and letters of random case in the
// name, which the server has to echo. The third unknown, the port, is chosen by the system for each socket.
func disguise(q *dns.Msg) {
	name := []byte(q.Question[0].Name)
	random := make([]byte, 2+len(name))
	// crypto/rand.Read never fails: without randomness the program does not run.
	_, _ = rand.Read(random)
	q.Id = binary.BigEndian.Uint16(random)
	for i, c := range name {
		if ('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z') && random[2+i]&1 == 1 {
			name[i] = c ^ 0x20
		}
	}
	q.Question = []dns.Question{{Name: string(name), Qtype: q.Question[0].Qtype, Qclass: q.Question[0].Qclass}}
}

// overUDP waits for the answer on a socket of its own, connected, so that the kernel drops what others send.
func (t *transport) overUDP(ctx context.Context, server netip.AddrPort, q *dns.Msg) (*dns.Msg, error) {
	conn, release, err := t.open(ctx, "udp", server)
	if err != nil {
		return nil, err
	}
	defer release()
	wire, err := q.Pack()
	if err != nil {
		return nil, fmt.Errorf("packing the question: %w", err)
	}
	if _, err := conn.Write(wire); err != nil {
		return nil, err
	}
	buf := make([]byte, udpRead)
	for range maxStray {
		n, err := conn.Read(buf)
		if err != nil {
			return nil, err
		}
		reply, err := fit(q, buf[:n])
		if errors.Is(err, errStray) {
			continue
		}
		return reply, err
	}
	return nil, errUncertain
}

// overTCP asks again where an answer has room for 64 KiB (RFC 7766).
func (t *transport) overTCP(ctx context.Context, server netip.AddrPort, q *dns.Msg) (*dns.Msg, error) {
	conn, release, err := t.open(ctx, "tcp", server)
	if err != nil {
		return nil, err
	}
	defer release()
	wire, err := q.Pack()
	if err != nil {
		return nil, fmt.Errorf("packing the question: %w", err)
	}
	if err := writeMessage(conn, wire); err != nil {
		return nil, err
	}
	buf, err := readMessage(conn)
	if err != nil {
		return nil, err
	}
	return fitSurely(q, buf)
}

// writeMessage sends a message over a stream: length and message in one piece, as some servers expect (RFC 7766 §8).
func writeMessage(w io.Writer, wire []byte) error {
	_, err := w.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(wire))), wire...))
	return err
}

func readMessage(r io.Reader) ([]byte, error) {
	var length [2]byte
	if _, err := io.ReadFull(r, length[:]); err != nil {
		return nil, err
	}
	buf := make([]byte, binary.BigEndian.Uint16(length[:]))
	_, err := io.ReadFull(r, buf)
	return buf, err
}

// call opens a connection.
func (t *transport) call(ctx context.Context, network, address string) (net.Conn, error) {
	return t.dial(ctx, network, address)
}

// open opens a socket to a server that is closed by release, and unblocked when ctx ends.
func (t *transport) open(ctx context.Context, network string, server netip.AddrPort) (conn net.Conn, release func(), err error) {
	conn, err = t.dial(ctx, network, server.String())
	if err != nil {
		return nil, nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) }) // the pending read says so
	return conn, func() { stop(); conn.Close() }, nil
}

// errStray marks a datagram that is no answer to our question: late, lost or forged.
var errStray = errors.New("not an answer to the question")

// fit unpacks a message and checks that it answers q: the id, and the question to the letter. With errUncertain it may give a
// reply that fits but for the case of letters.
func fit(q *dns.Msg, wire []byte) (*dns.Msg, error) {
	reply := new(dns.Msg)
	err := reply.Unpack(wire)
	if len(wire) < 12 || reply.Id != q.Id || !reply.Response || reply.Opcode != dns.OpcodeQuery {
		return nil, errStray
	}
	// From here on whoever sent it knew the id, among 65,536, and the port: an honest server, or a forger in luck.
	if err != nil || len(reply.Question) != 1 {
		return nil, errUncertain
	}
	asked, said := q.Question[0], reply.Question[0]
	switch {
	case asked == said:
		return reply, nil
	case asked.Qtype == said.Qtype && asked.Qclass == said.Qclass && sameName(asked.Name, said.Name):
		return reply, errUncertain
	}
	return nil, errStray
}

// fitSurely is fit for what came over a connection, which nobody can forge from afar.
func fitSurely(q *dns.Msg, wire []byte) (*dns.Msg, error) {
	reply, err := fit(q, wire)
	if errors.Is(err, errUncertain) && reply != nil {
		return reply, nil // a server that does not keep the case of letters
	}
	if err != nil {
		return nil, errors.New("sent over a connection what is no answer to the question")
	}
	return reply, nil
}
