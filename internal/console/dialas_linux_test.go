package console_test

import (
	"net"
	"runtime"
	"syscall"
)

// dialAs connects as another user. Its thread, which alone becomes that user, ends with the goroutine.
func dialAs(uid int, socket string) (conn net.Conn, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		if _, _, code := syscall.RawSyscall(syscall.SYS_SETRESUID, uintptr(uid), uintptr(uid), uintptr(uid)); code != 0 {
			err = code
			return
		}
		conn, err = net.Dial("unix", socket)
	}()
	<-done
	return conn, err
}
