//go:build !linux

package proxy_test

// unsent is not known here.
func unsent(uintptr) int { return 0 }
