package proxy_test

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"sallyport/proxy"
)

var update = flag.Bool("update", false, "write docs/reference/metrics.md anew")

const metricsPage = "../docs/reference/metrics.md"

// TestMetricsReference keeps the page what the program measures.
func TestMetricsReference(t *testing.T) {
	t.Parallel()
	want := metricsReference()
	if *update {
		must(t, os.WriteFile(metricsPage, []byte(want), 0o644))
	}
	if got, err := os.ReadFile(metricsPage); err != nil || string(got) != want {
		t.Errorf("%s is not what the program measures (%v): make docs", metricsPage, err)
	}
}

const metricsPreface = `# Measurements

What the gate measures, on the Prometheus endpoint of "telemetry.metrics" under /metrics, and pushed to "telemetry.otlp". No
label has a value that a remote server can choose, so that nobody can make them grow; who it was is in the log, the record
and the traces.

Beside these the endpoint has the Go runtime's and the process's own (go_*, process_*), /healthz answers "ok" while the process
serves, and target_info has the version.

This page is written from the program by "make docs".

`

// metricsReference writes docs/reference/metrics.md.
func metricsReference() string {
	var b strings.Builder
	b.WriteString(metricsPreface + "| Prometheus | OpenTelemetry | kind | unit | labels | meaning |\n|---|---|---|---|---|---|\n")
	for _, m := range proxy.Metrics() {
		var labels []string
		for _, l := range m.Labels {
			labels = append(labels, fmt.Sprintf("`%s`: %s", l.Name, strings.Join(l.Values, ", ")))
		}
		fmt.Fprintf(&b, "| `%s` | `%s` | %s | %s | %s | %s |\n", prometheusName(m), m.Name, m.Kind, m.Unit, strings.Join(labels, "; "), m.Meaning)
	}
	b.WriteString(tracesText)
	return b.String()
}

// prometheusName is the name that the exporter makes. A test of cmd/sallyport asks a running gate for these names.
func prometheusName(m proxy.Metric) string {
	name := strings.ReplaceAll(m.Name, ".", "_")
	name += map[string]string{"s": "_seconds", "By": "_bytes"}[m.Unit]
	if m.Kind == "counter" {
		name += "_total"
	}
	return name
}

const tracesText = `
## Traces

With "telemetry.otlp" each set-up of a link is a trace: the span "link", with one child for each step that takes time. A step
that failed has an error status with the reason; "link" then has the attribute sallyport.step, one of the steps above.

| span | what it covers | attributes |
|---|---|---|
| ` + "`link`" + ` | outbound: from the first stanza for a pair to the proved stream; inbound: from the connection to the first proved pair | sallyport.direction, xmpp.from, xmpp.to, network.peer.address |
| ` + "`dns`" + ` | SRV and address records of a domain | xmpp.domain |
| ` + "`dial`" + ` | connecting, all addresses that are tried at once | |
| ` + "`tls`" + ` | STARTTLS and the handshake | |
| ` + "`dialback`" + ` | outbound: from our key to its acceptance; inbound: the question to the authoritative server, with dns, dial and tls below it | sallyport.verdict |
`
