//go:build !unix

package stream

import "net"

// readiness does not wait here: a connection that idles holds its buffers.
type readiness struct{}

func readinessOf(net.Conn) readiness { return readiness{} }

func (readiness) wait() error { return nil }

// firstByte cannot be had without taking it.
func firstByte(net.Conn) (byte, error) { return 0, nil }
