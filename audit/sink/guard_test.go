package sink_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"sallyport/audit"
	"sallyport/audit/sink"
	"sallyport/internal/xmpptest/receivers"
)

// TestGuardAtStart: a required sink that has never answered since the start has everything refused, with why; a start does not wait for
// it longer than its first attempt takes. When it has taken something, its lag counts.
func TestGuardAtStart(t *testing.T) {
	t.Parallel()
	s := receivers.OTLP(t)
	g := openGate(t, sink.Config{Name: "dead", Type: sink.OTLP, URL: s.URL, Required: true, Lag: time.Hour})
	guard := sink.Guard{Log: g.log, Sinks: g.set}
	err := guard.Append(t.Context(), []audit.Event{{Kind: audit.Stanza}})
	if !errors.Is(err, audit.ErrUnrecorded) || !strings.Contains(err.Error(), "sink dead has not answered since the start") {
		t.Errorf("before it was tried: %v", err)
	}
	g.cross(1)
	g.set.Tried(t.Context())
	if err = guard.Append(t.Context(), []audit.Event{{Kind: audit.Stanza}}); !errors.Is(err, audit.ErrUnrecorded) || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("when it was tried: %v", err)
	}
	s.Start()
	g.arrive()
	s.Stop()
	if err = guard.Append(t.Context(), []audit.Event{{Kind: audit.Stanza}}); err != nil {
		t.Errorf("when it has taken something: %v", err)
	}
}

// TestGuard: a dead sink that is required has stanzas refused, with its name in the reason; one that is not stops nothing.
func TestGuard(t *testing.T) {
	t.Parallel()
	for _, required := range []bool{true, false} {
		g := openGate(t, sink.Config{Name: "dead", Type: sink.Syslog, URL: fmt.Sprintf("tls://127.0.0.1:%d", receivers.FreePort(t)), Required: required, Lag: time.Second})
		g.cross(1)
		g.until("the sink is behind", func() bool { return g.set.Status()[0].Seconds > 1.1 })
		err := sink.Guard{Log: g.log, Sinks: g.set}.Append(t.Context(), []audit.Event{{Kind: audit.Stanza}})
		if refused := errors.Is(err, audit.ErrUnrecorded) && strings.Contains(err.Error(), "dead"); refused != required {
			t.Errorf("required %v: %v", required, err)
		}
	}
}
