package sink_test

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sallyport/audit/sink"
)

// TestCursorUnreadable: it stops the start of a gate only where the sink is required; otherwise the sink's status says so, and the sink
// goes on when the file is well again.
func TestCursorUnreadable(t *testing.T) {
	t.Parallel()
	cfg := sink.Config{Name: "siem", Type: sink.Syslog, URL: "tls://127.0.0.1:9"}
	g := openGate(t, cfg)
	g.stop()
	path := filepath.Join(g.dir, "sinks", "siem.cursor")
	if err := os.WriteFile(path, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg.Required = true
	if _, err := sink.Open(sink.Record{Dir: g.dir}, []sink.Config{cfg}, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "cursor of sink siem") {
		t.Errorf("required: %v", err)
	}
	g.start()
	failing := func(why string) func() bool {
		return func() bool { return strings.Contains(g.set.Status()[0].Error, why) }
	}
	g.until("the cursor's fault shows", failing("cursor"))
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	g.until("the sink goes on", failing("connect"))
}
