package resolve

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
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

// exchange asks one server one question, over UDP and, where that is not enough, over TCP. The reply belongs to the question. A server
// that does not know EDNS is asked without (RFC 6891 §7).
func exchange(ctx context.Context, server netip.AddrPort, q *dns.Msg) (*dns.Msg, error) {
	reply, err := exchangeOnce(ctx, server, q)
	if err == nil && (reply.Rcode == dns.RcodeFormatError || reply.Rcode == dns.RcodeNotImplemented) && q.IsEdns0() != nil {
		plain := q.Copy()
		plain.Extra = nil
		reply, err = exchangeOnce(ctx, server, plain)
	}
	return reply, err
}

func exchangeOnce(ctx context.Context, server netip.AddrPort, q *dns.Msg) (*dns.Msg, error) {
	q = q.Copy()
	disguise(q)
	reply, err := overUDP(ctx, server, q)
	if !errors.Is(err, errUncertain) && (err != nil || !reply.Truncated) {
		return reply, err
	}
	sure, err := overTCP(ctx, server, q)
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
func overUDP(ctx context.Context, server netip.AddrPort, q *dns.Msg) (*dns.Msg, error) {
	conn, release, err := call(ctx, "udp", server)
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
func overTCP(ctx context.Context, server netip.AddrPort, q *dns.Msg) (*dns.Msg, error) {
	conn, release, err := call(ctx, "tcp", server)
	if err != nil {
		return nil, err
	}
	defer release()
	wire, err := q.Pack()
	if err != nil {
		return nil, fmt.Errorf("packing the question: %w", err)
	}
	if _, err := conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(wire))), wire...)); err != nil {
		return nil, err
	}
	var length [2]byte
	if _, err := io.ReadFull(conn, length[:]); err != nil {
		return nil, err
	}
	buf := make([]byte, binary.BigEndian.Uint16(length[:]))
	if _, err := io.ReadFull(conn, buf); err != nil {
		return nil, err
	}
	reply, err := fit(q, buf)
	if errors.Is(err, errUncertain) && reply != nil {
		return reply, nil // a server that does not keep the case of letters; nobody can forge what comes over TCP from afar
	}
	if err != nil {
		return nil, errors.New("sent over TCP what is no answer to the question")
	}
	return reply, nil
}

// call opens a socket to a server that is closed by release, and unblocked when ctx ends.
func call(ctx context.Context, network string, server netip.AddrPort) (conn net.Conn, release func(), err error) {
	var dialer net.Dialer
	conn, err = dialer.DialContext(ctx, network, server.String())
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

// asker asks several servers in turn.
type asker struct {
	servers  []netip.AddrPort
	timeout  time.Duration
	exchange func(ctx context.Context, server netip.AddrPort, q *dns.Msg) (*dns.Msg, error)
}

// rounds is how often each server is asked.
const rounds = 2

// errUnanswered is what ask returns when no server helped.
type errUnanswered struct{ attempts []Attempt }

func (e *errUnanswered) Error() string {
	last := e.attempts[len(e.attempts)-1]
	return fmt.Sprintf("%v %v", last.At, last.Err)
}

// ask puts q to the servers, in order and twice, until one says something definite: records, NODATA or NXDOMAIN. Anything else, as
// SERVFAIL, REFUSED or silence, is the next one's chance. Its only error is *errUnanswered.
func (a *asker) ask(ctx context.Context, q *dns.Msg) (reply *dns.Msg, from netip.AddrPort, err error) {
	var failed []Attempt
	for round := range rounds {
		for i, server := range a.servers {
			if round > 0 && isVerdict(failed[i].Err) {
				continue
			}
			reply, err := a.askOne(ctx, server, q)
			if err == nil {
				return reply, server, nil
			}
			failed = append(failed, Attempt{At: server, Err: err})
			if ctx.Err() != nil {
				return nil, server, &errUnanswered{failed}
			}
		}
	}
	return nil, netip.AddrPort{}, &errUnanswered{failed}
}

func (a *asker) askOne(ctx context.Context, server netip.AddrPort, q *dns.Msg) (*dns.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	reply, err := a.exchange(ctx, server, q)
	if err != nil {
		return nil, a.plain(err)
	}
	if reply.Rcode != dns.RcodeSuccess && reply.Rcode != dns.RcodeNameError {
		return nil, &verdict{rcode: reply.Rcode, detail: explain(reply)}
	}
	return reply, nil
}

// plain says in an operator's words what went wrong with a server.
func (a *asker) plain(err error) error {
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("gave no answer within %v", a.timeout)
	case errors.Is(err, syscall.ECONNREFUSED):
		return errors.New("runs no name server (connection refused)")
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("closed the connection without an answer")
	}
	return fmt.Errorf("could not be asked: %w", err)
}

// verdict is a server's answer that says nothing about the name. Asking the same server once more would bring the same.
type verdict struct {
	rcode  int
	detail string
}

func (v *verdict) Error() string {
	return "answered " + dns.RcodeToString[v.rcode] + v.detail
}

func isVerdict(err error) bool {
	_, ok := err.(*verdict)
	return ok
}

// explain renders the reasons that a server added to its failure (RFC 8914). The text is a stranger's: quoted, and cut.
func explain(reply *dns.Msg) string {
	opt := reply.IsEdns0()
	if opt == nil {
		return ""
	}
	var said []string
	for _, o := range opt.Option {
		ede, ok := o.(*dns.EDNS0_EDE)
		if !ok || len(said) == 3 {
			continue
		}
		text := dns.ExtendedErrorCodeToString[ede.InfoCode]
		if text == "" {
			text = fmt.Sprintf("extended error %d", ede.InfoCode)
		}
		if ede.ExtraText != "" {
			text += fmt.Sprintf(" %q", ede.ExtraText[:min(len(ede.ExtraText), 120)])
		}
		said = append(said, text)
	}
	if said == nil {
		return ""
	}
	return " (" + strings.Join(said, ", ") + ")"
}
