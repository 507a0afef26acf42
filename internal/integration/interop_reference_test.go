package integration_test

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write docs/interop.md anew")

const interopPage = "../../docs/interop.md"

// TestInteropReference keeps the page what TestInterop proves.
func TestInteropReference(t *testing.T) {
	t.Parallel()
	want := interopReference()
	if *update {
		if err := os.WriteFile(interopPage, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := os.ReadFile(interopPage); err != nil || string(got) != want {
		t.Errorf("%s is not what the tests prove (%v): make docs", interopPage, err)
	}
}

const interopPreface = `# Which certificate proves what, with real servers

Debian 12's Prosody 0.12.3 and ejabberd 23.01 show the gate each of these certificates, called by it and calling it, on each run of the
test suite. Both ask for TLS, trust the same authority as the gate, and take dialback where a certificate does not suffice. The peer's entry in
` + "`peers`" + ` asks for ` + "`proof: dialback`" + ` or for ` + "`proof: pkix`" + `.

- **out**: the gate calls the peer, with a message for it. The proof is what the peer's certificate proves; *none* leaves the
  address that DNS gave.
- **in**: the peer calls the gate, with a message for us. The proof is what lets it in.
- **refused**: no link; the message's sender is told by an error, by the gate or by the peer's own server.
- **authenticated by**: how the side that called proved its domain to the other, as the peer's log has it: SASL EXTERNAL, which is by
  certificate, or dialback.

This page is written from the tests' table by "make docs".

`

// interopReference writes docs/interop.md.
func interopReference() string {
	var b strings.Builder
	b.WriteString(interopPreface + "| the peer's certificate | peer | direction | with `dialback` | with `pkix` | authenticated by |\n|---|---|---|---|---|---|\n")
	for _, r := range interopTable() {
		if r.local == local {
			fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s |\n", r.show.what, r.who(), r.direction, r.any.shown(), r.strict.shown(), r.by())
		}
	}
	b.WriteString("\n## The gate's own certificate\n\nIt is marked for servers only, as public authorities issue them now, and the gate is the one that calls. " +
		"A peer that does not\ntake it from a client goes on by dialback, and the link stands.\n\n" +
		"| peer | the peer's proof | authenticated by |\n|---|---|---|\n")
	for _, r := range interopTable() {
		if r.local == rooms {
			fmt.Fprintf(&b, "| %s | %s | %s |\n", r.who(), r.any.shown(), r.by())
		}
	}
	b.WriteString(namedPreface + "| the certificate | peer | `proof` | out | in |\n|---|---|---|---|---|\n")
	for _, c := range namedCases {
		fmt.Fprintf(&b, "| %s | %s | `%s` | %s | %s |\n", c.what, c.peer, c.asks, outcome{proof: c.out}.shown(), outcome{proof: c.in}.shown())
	}
	b.WriteString(modernText)
	return b.String()
}

const namedPreface = `
## Certificates that the domain itself names

The peers are Prosody with ` + "`use_dane`" + ` and ejabberd. BIND signs the zones; the gate asks an unbound that validates them, on
its own machine. In the other direction Prosody takes the gate's self-signed certificate by the gate's TLSA record, and refuses a
certificate of an authority that it trusts where the TLSA record names another.

`

const modernText = `
## Direct TLS, and backends that take certificates only

Prosody and ejabberd with a listener for direct TLS, found by ` + "`_xmpps-server`" + ` and by nothing else, and the gate the same for them: both ways,
proof *pkix* both ways. Behind the gate meanwhile Prosody without ` + "`dialback`" + `, or ejabberd without ` + "`mod_s2s_dialback`" + `, with
` + "`tls: certificate`" + ` as [backends/prosody.md](backends/prosody.md) and [backends/ejabberd.md](backends/ejabberd.md) say.
`

func (r row) who() string {
	if r.peer == "pretend" {
		return "(" + r.show.unreal + ")"
	}
	return map[string]string{"prosody": "Prosody", "ejabberd": "ejabberd"}[r.peer]
}

func (r row) by() string {
	if r.any.took == "" {
		return "—"
	}
	return r.any.took
}

func (o outcome) shown() string {
	if o.proof == "" {
		return "refused"
	}
	return o.proof
}
