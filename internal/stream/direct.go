package stream

import (
	"crypto/tls"
	"net"
)

// alpn is the protocol of a stream that begins with TLS (XEP-0368 §3).
const alpn = "xmpp-server"

// DirectServer puts TLS under a connection that begins with it, for Accept (XEP-0368 §3).
func DirectServer(conn net.Conn, cfg *tls.Config) *tls.Conn { return tls.Server(newRecords(conn), cfg) }

// DirectClient is the same for Initiate.
func DirectClient(conn net.Conn, cfg *tls.Config) *tls.Conn { return tls.Client(newRecords(conn), cfg) }

// handshakeRecord is the type of the record that a TLS client begins with (RFC 8446 §5.1). No XML document begins so.
const handshakeRecord = 0x16

// BeginsWithTLS waits for the first byte of a connection, leaves it there, and says whether TLS begins with it. The connection's read
// deadline bounds the wait. Of a connection that is no socket it says no. Its error is that of waiting; an end without a byte is none.
func BeginsWithTLS(conn net.Conn) (bool, error) {
	first, err := firstByte(conn)
	return first == handshakeRecord, err
}
