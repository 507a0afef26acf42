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
