//go:build !linux

package resolve

import (
	"syscall"
	"time"
)

// setUserTimeout does nothing where the system has no such option.
func setUserTimeout(syscall.RawConn, time.Duration) error { return nil }
