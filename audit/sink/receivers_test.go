package sink_test

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"sallyport/audit"
	"sallyport/audit/sink"
	"sallyport/internal/xmpptest/receivers"
)

// TestSyslog: a real rsyslog over TLS is killed between; each id is in its file, in its fields, and long messages are cut and say so.
func TestSyslog(t *testing.T) {
	t.Parallel()
	rsyslog := receivers.Syslog(t)
	rsyslog.Start()
	g := openGate(t, sink.Config{Name: "siem", Type: sink.Syslog, URL: rsyslog.URL, Roots: rsyslog.Roots, Message: 480})
	g.cross(50)
	all := func() bool {
		seen := rsyslog.IDs()
		for id := range g.ids {
			if seen[id] == 0 {
				return false
			}
		}
		return true
	}
	g.until("the first events are in the file", all)
	rsyslog.Stop(syscall.SIGKILL)
	g.cross(50)
	g.until("the failure shows", func() bool { return g.set.Status()[0].Error != "" })
	rsyslog.Start()
	g.until("all events are in the file", all)
	text, _ := os.ReadFile(rsyslog.File)
	if !strings.Contains(string(text), "gate-1 sallyport stanza [record@32473 id=") || !strings.Contains(string(text), ` cut="`) {
		t.Errorf("fields are not where they belong, or nothing was cut:\n%.1500s", text)
	}
}

// TestNATS: a real server is killed between, and the sink sends all again once; the stream has each id once.
func TestNATS(t *testing.T) {
	t.Parallel()
	server := receivers.NATS(t)
	server.Start()
	g := openGate(t, sink.Config{Name: "bus", Type: sink.NATS, URL: server.URL, Roots: server.Roots, Batch: 20})
	g.cross(60)
	g.arrive()
	server.Stop(syscall.SIGKILL)
	g.cross(30)
	g.until("the failure shows", func() bool { return g.set.Status()[0].Error != "" })
	server.Start()
	g.arrive()
	g.stop()
	if err := os.Remove(filepath.Join(g.dir, "sinks", "bus.cursor")); err != nil {
		t.Fatal(err)
	}
	g.start()
	g.arrive()
	seen := server.IDs()
	for id := range g.ids {
		if seen[id] != 1 {
			t.Errorf("event %s is %d times in the stream", id, seen[id])
		}
	}
}

// TestOrderInNATS: a stream that is full now and then refuses some of what is on its way, and others publish to it, too; the events come in
// their order all the same, and each once.
func TestOrderInNATS(t *testing.T) {
	t.Parallel()
	server := receivers.NATS(t)
	server.Start()
	conn, err := nats.Connect(server.URL, nats.RootCAs(server.Roots))
	for tries := 0; err != nil && tries < 500; tries++ {
		<-time.After(20 * time.Millisecond)
		conn, err = nats.Connect(server.URL, nats.RootCAs(server.Roots))
	}
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	stream, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "SALLYPORT", Subjects: []string{"sallyport.audit.>"}, Storage: jetstream.FileStorage,
		Retention: jetstream.WorkQueuePolicy, MaxMsgs: 60, Discard: jetstream.DiscardNew, Duplicates: 2 * time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	consumer, err := stream.CreateConsumer(t.Context(), jetstream.ConsumerConfig{Durable: "officer", AckPolicy: jetstream.AckExplicitPolicy})
	if err != nil {
		t.Fatal(err)
	}
	g := openGate(t, sink.Config{Name: "bus", Type: sink.NATS, URL: server.URL, Roots: server.Roots, Batch: 40})
	const crossed = 250
	g.cross(crossed)
	var last uint64
	for got := 0; got < crossed; {
		if _, err := js.Publish(t.Context(), "sallyport.audit.other", []byte("another's")); err != nil && !strings.Contains(err.Error(), "maximum messages") {
			t.Fatal(err)
		}
		batch, err := consumer.Fetch(7, jetstream.FetchMaxWait(5*time.Second))
		if err != nil {
			t.Fatal(err)
		}
		for m := range batch.Messages() {
			if m.Subject() == "sallyport.audit.event" {
				r, err := audit.ParseRecord(m.Data())
				if err != nil || r.Seq <= last {
					t.Fatalf("seq %d came behind seq %d: %v", r.Seq, last, err)
				}
				last = r.Seq
				got++
			}
			if err := m.Ack(); err != nil {
				t.Fatal(err)
			}
		}
		if batch.Error() != nil {
			t.Fatal(batch.Error())
		}
	}
}
