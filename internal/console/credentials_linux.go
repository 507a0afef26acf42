package console

import (
	"fmt"
	"net"
	"syscall"
)

// peerUID asks the kernel for the user at the other end of a Unix socket, as it was when it connected (unix(7), SO_PEERCRED).
func peerUID(conn net.Conn) (int, error) {
	unix, ok := conn.(*net.UnixConn)
	if !ok {
		return -1, fmt.Errorf("%s is no Unix socket", conn.LocalAddr().Network())
	}
	raw, err := unix.SyscallConn()
	if err != nil {
		return -1, fmt.Errorf("asking who calls: %w", err)
	}
	var cred *syscall.Ucred
	var asked error
	err = raw.Control(func(fd uintptr) {
		cred, asked = syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED)
	})
	if err == nil {
		err = asked
	}
	if err != nil {
		return -1, fmt.Errorf("asking who calls: %w", err)
	}
	return int(cred.Uid), nil
}
