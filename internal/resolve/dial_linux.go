package resolve

import (
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// setUserTimeout sets how long sent data may go unacknowledged (RFC 5482) before the kernel gives the connection up.
func setUserTimeout(c syscall.RawConn, d time.Duration) error {
	var failed error
	err := c.Control(func(fd uintptr) {
		failed = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(d.Milliseconds()))
	})
	if err != nil {
		return err
	}
	return failed
}
