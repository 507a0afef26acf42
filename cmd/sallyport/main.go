// Command sallyport is a security-hardening federation proxy for XMPP: it stands in front of a Jabber server, unchanged, and
// encrypts, proves, judges and records everything that crosses between it and the internet.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
)

// version is set at build time.
var version = "devel"

func main() {
	err := command().ExecuteContext(context.Background())
	var fault *exit
	switch {
	case err == nil:
	case errors.As(err, &fault):
		if fault.err != nil {
			fmt.Fprintln(os.Stderr, fault.err)
		}
		os.Exit(fault.code)
	default:
		fmt.Fprintf(os.Stderr, "sallyport: %v\n", err)
		os.Exit(2)
	}
}
