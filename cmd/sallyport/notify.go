package main

import (
	"net"
	"os"
	"strings"
)

// notify tells a service manager how far we are (sd_notify(3)): "READY=1", "STOPPING=1". Without one nobody listens,
// and one that does not listen is no reason to stop.
func notify(state string) {
	socket := os.Getenv("NOTIFY_SOCKET")
	if socket == "" {
		return
	}
	if strings.HasPrefix(socket, "@") { // Linux's abstract sockets
		socket = "\x00" + socket[1:]
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		return
	}
	defer conn.Close()
	_, _ = conn.Write([]byte(state))
}
