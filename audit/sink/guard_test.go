package sink_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"sallyport/audit"
	"sallyport/audit/sink"
)

// TestGuard: a dead sink that is required has stanzas refused, with its name in the reason; one that is not stops nothing.
func TestGuard(t *testing.T) {
	t.Parallel()
	for _, required := range []bool{true, false} {
		g := openGate(t, sink.Config{Name: "dead", Type: sink.Syslog, URL: fmt.Sprintf("tls://127.0.0.1:%d", freePort(t)), Required: required, Lag: time.Second})
		g.cross(1)
		g.until("the sink is behind", func() bool { return g.set.Status()[0].Seconds > 1.1 })
		err := sink.Guard{Log: g.log, Sinks: g.set}.Append(t.Context(), []audit.Event{{Kind: audit.Stanza}})
		if refused := errors.Is(err, audit.ErrUnrecorded) && strings.Contains(err.Error(), "dead"); refused != required {
			t.Errorf("required %v: %v", required, err)
		}
	}
}
