package peer

import (
	"crypto/rand"
	"errors"
	"fmt"
	"math/big"
	"net"
	"sync"
)

// reserved are the ports that Reserve has returned to this process: some wait long for their listener.
var reserved sync.Map

// Reserve finds n free ports of 127.0.0.1, each for TCP and UDP, and returns them as ip:port, so that they can be written into
// a configuration before anybody listens; none twice in the life of the process. It looks below the range from which the kernel serves outgoing connections, which
// would take them in between.
func Reserve(n int) ([]string, error) {
	var addrs []string
	for tries := 0; len(addrs) < n && tries < 100*n; tries++ {
		port, err := rand.Int(rand.Reader, big.NewInt(10000))
		if err != nil {
			return nil, err
		}
		addr := fmt.Sprintf("127.0.0.1:%d", 20000+port.Int64())
		ln, err := net.Listen("tcp", addr)
		if err != nil {
			continue
		}
		defer ln.Close()
		conn, err := net.ListenPacket("udp", addr)
		if err != nil {
			continue
		}
		defer conn.Close()
		if _, given := reserved.LoadOrStore(addr, true); given {
			continue
		}
		addrs = append(addrs, addr)
	}
	if len(addrs) < n {
		return nil, errors.New("finding free ports of 127.0.0.1: there are too few")
	}
	return addrs, nil
}
