// Command sallyport is a security-hardening federation proxy for XMPP: it stands in front of a Jabber server, unchanged, and
// encrypts, proves, judges and records everything that crosses between it and the internet.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
)

// version is set at build time.
var version = "devel"

func main() { os.Exit(execute(os.Args[1:], os.Stdout, os.Stderr)) }

// execute runs a command line and returns its exit code.
func execute(args []string, stdout, stderr io.Writer) int {
	cmd := command()
	cmd.SetArgs(args)
	cmd.SetOut(stdout)
	cmd.SetErr(stderr)
	err := cmd.ExecuteContext(context.Background())
	var found *exit
	switch {
	case err == nil:
		return 0
	case errors.As(err, &found):
		fmt.Fprintln(stderr, found.err)
		return found.code
	}
	fmt.Fprintln(stderr, "sallyport:", err)
	return 2
}
