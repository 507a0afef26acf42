package sink_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"sallyport/audit"
	"sallyport/audit/sink"
	"sallyport/internal/xmpptest/receivers"
)

// TestTooLongForNATS: an event that the server would refuse for ever is cut, which its header says, and what comes after it arrives.
func TestTooLongForNATS(t *testing.T) {
	t.Parallel()
	server := receivers.NATS(t, "max_payload: 2500")
	server.Start()
	g := openGate(t, sink.Config{Name: "bus", Type: sink.NATS, URL: server.URL, Roots: server.Roots})
	g.cross(1)
	long := []audit.Event{{Kind: audit.Stanza, Level: audit.LevelContent, Content: audit.ContentPart{Body: []byte(strings.Repeat("é", 3000))}}}
	if err := g.log.Append(t.Context(), long); err != nil {
		t.Fatal(err)
	}
	g.cross(1)
	g.arrive()
	conn, err := nats.Connect(server.URL, nats.RootCAs(server.Roots))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	consumer, err := js.OrderedConsumer(t.Context(), "SALLYPORT", jetstream.OrderedConsumerConfig{FilterSubjects: []string{"sallyport.audit.event"}})
	if err != nil {
		t.Fatal(err)
	}
	batch, err := consumer.Fetch(3, jetstream.FetchMaxWait(10*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	var cuts []string
	for m := range batch.Messages() {
		cut := m.Headers().Get("Sallyport-Cut")
		if n, err := strconv.Atoi(cut); cut != "" && (err != nil || n < 6000 || len(m.Data()) < 1000 || bytes.HasSuffix(m.Data(), []byte("\xc3"))) {
			t.Errorf("cut to %d bytes, says %q", len(m.Data()), cut)
		}
		cuts = append(cuts, strconv.FormatBool(cut != ""))
	}
	if got := strings.Join(cuts, " "); got != "false true false" {
		t.Errorf("cut are %s", got)
	}
}

// TestDamagedLine: bytes that are not text, in a line that can be read otherwise, hold nothing up.
func TestDamagedLine(t *testing.T) {
	t.Parallel()
	s := receivers.OTLP(t)
	g := openGate(t, sink.Config{Name: "collector", Type: sink.OTLP, URL: s.URL})
	g.cross(3)
	segment := filepath.Join(g.dir, "00000001.jsonl")
	b, err := os.ReadFile(segment)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(segment, bytes.Replace(b, []byte("maria1"), []byte("mari\xff1"), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	s.Start()
	g.arrive()
}

// TestSecretsInURLs: what is a secret of a receiver has no place in a URL, whichever form it has there.
func TestSecretsInURLs(t *testing.T) {
	t.Parallel()
	for kind, urls := range map[string][]string{
		sink.Postgres: {"postgres://u:s3cret@db/x", "postgres://u@db/x?password=s3cret", "postgres://u@db/x?sslpassword=s3cret"},
		sink.NATS:     {"tls://s3cret@bus:4222", "tls://u:s3cret@bus:4222"},
		sink.OTLP:     {"https://u:s3cret@otel/v1/logs"},
	} {
		for _, url := range urls {
			if err := (sink.Config{Name: "x", Type: kind, URL: url}).Check(); err == nil || strings.Contains(err.Error(), "s3cret") || !strings.Contains(err.Error(), "must not hold a password") {
				t.Errorf("%s: %v", kind, err)
			}
		}
	}
}
