//go:build !linux

package console

import "net"

// peerUID leaves it to the socket's mode who gets here: its owner, or root.
func peerUID(net.Conn) (int, error) { return ownUID(), nil }
