package proxy_test

import "golang.org/x/sys/unix"

// unsent is how many bytes of a TCP connection the other side has not acknowledged.
func unsent(fd uintptr) int {
	n, err := unix.IoctlGetInt(int(fd), unix.SIOCOUTQ)
	if err != nil {
		return 1
	}
	return n
}
