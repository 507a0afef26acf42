//go:build unix

package stream

import (
	"net"
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

// look says whether a read would not have to wait: there are bytes, or the end, or an error.
func look(fd uintptr) bool {
	var b [1]byte
	for {
		_, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		if err != syscall.EINTR {
			return err != syscall.EAGAIN
		}
	}
}

// wait returns when there is something to read, or at the connection's read deadline.
func (r readiness) wait() error {
	if r.raw == nil {
		return nil
	}
	return r.raw.Read(look)
}

// firstByte peeks at what a socket has to read first; zero when it has ended, or is no socket.
func firstByte(conn net.Conn) (first byte, err error) {
	r := readinessOf(conn)
	if r.raw == nil {
		return 0, nil
	}
	err = r.raw.Read(func(fd uintptr) bool {
		if !look(fd) {
			return false
		}
		var b [1]byte
		if n, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT); err == nil && n == 1 {
			first = b[0]
		}
		return true
	})
	return first, err
}
