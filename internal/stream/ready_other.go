//go:build !unix

package stream

import "net"

// readiness does not wait here: a connection that idles holds its buffers.
type readiness struct{}

func readinessOf(net.Conn) readiness { return readiness{} }

func (readiness) wait() error { return nil }

// pooled cannot read here without a buffer.
type pooled struct{}

func pooledOf(net.Conn) *pooled { return &pooled{} }

func (*pooled) read() (buf *[]byte, n int, err error, ok bool) { return nil, 0, nil, false }

// firstByte cannot be had without taking it.
func firstByte(net.Conn) (byte, error) { return 0, nil }
