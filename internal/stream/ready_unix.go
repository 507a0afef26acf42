//go:build unix

package stream

import (
	"io"
	"net"
	"os"
	"syscall"
)

// readiness waits for a socket to have something to read. The zero value does not wait.
type readiness struct{ raw syscall.RawConn }

func readinessOf(conn net.Conn) readiness {
	sock, ok := conn.(syscall.Conn)
	if !ok {
		return readiness{}
	}
	raw, err := sock.SyscallConn()
	if err != nil {
		return readiness{} // it is closed: reading will say so
	}
	return readiness{raw}
}

// peek says whether a read would not have to wait, for there are bytes, or the end, or an error; and gives the first byte, if any.
func peek(fd uintptr) (first byte, there bool) {
	var b [1]byte
	for {
		n, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		switch {
		case err == syscall.EINTR:
		case n == 1:
			return b[0], true
		default:
			return 0, err != syscall.EAGAIN
		}
	}
}

func look(fd uintptr) bool {
	_, there := peek(fd)
	return there
}

// wait returns when there is something to read, or at the connection's read deadline.
func (r readiness) wait() error {
	if r.raw == nil {
		return nil
	}
	return r.raw.Read(look)
}

// pooled reads from a socket into a buffer of the pool that it takes when there is something to read, and not before.
type pooled struct {
	readiness
	try func(fd uintptr) bool // made once: read would allocate it
	buf *[]byte
	n   int
	err error
}

func pooledOf(conn net.Conn) *pooled {
	p := &pooled{readiness: readinessOf(conn)}
	p.try = func(fd uintptr) bool {
		p.buf = buffers.Get().(*[]byte)
		for {
			p.n, p.err = syscall.Read(int(fd), *p.buf)
			if p.err != syscall.EINTR {
				break
			}
		}
		if p.err == syscall.EAGAIN {
			buffers.Put(p.buf)
			p.buf = nil
			return false
		}
		return true
	}
	return p
}

// read gives a buffer with n bytes from the socket, which the caller gives back; or an error and none. It reports false where conn is
// no socket and has to be read in another way.
func (p *pooled) read() (buf *[]byte, n int, err error, ok bool) {
	if p.raw == nil {
		return nil, 0, nil, false
	}
	p.buf, p.n, p.err = nil, 0, nil
	err = p.raw.Read(p.try)
	buf, n = p.buf, p.n
	p.buf = nil
	switch {
	case err == nil && p.err != nil:
		err = os.NewSyscallError("read", p.err)
	case err == nil && n == 0:
		err = io.EOF
	}
	if err != nil && buf != nil {
		buffers.Put(buf)
		buf = nil
	}
	return buf, max(n, 0), err, true
}

// firstByte peeks at what a socket has to read first; zero when it has ended, or is no socket.
func firstByte(conn net.Conn) (first byte, err error) {
	r := readinessOf(conn)
	if r.raw == nil {
		return 0, nil
	}
	err = r.raw.Read(func(fd uintptr) (there bool) {
		first, there = peek(fd)
		return there
	})
	return first, err
}
