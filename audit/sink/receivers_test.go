package sink_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"sallyport/audit/sink"
)

// TestSyslog: a real rsyslog over TLS is killed between; each id is in its file, in its fields, and long messages are cut and say so.
func TestSyslog(t *testing.T) {
	t.Parallel()
	needs(t, "/usr/sbin/rsyslogd")
	dir := t.TempDir()
	certificate(t, dir, nil)
	port := freePort(t)
	out := filepath.Join(dir, "out")
	conf := fmt.Sprintf(`global(maxMessageSize="64k" workDirectory="%[1]s" DefaultNetstreamDriverCAFile="%[1]s/ca.pem" DefaultNetstreamDriverCertFile="%[1]s/cert.pem" DefaultNetstreamDriverKeyFile="%[1]s/key.pem")
module(load="imtcp" StreamDriver.Name="gtls" StreamDriver.Mode="1" StreamDriver.AuthMode="anon")
input(type="imtcp" address="127.0.0.1" port="%[2]d")
template(name="all" type="string" string="%%hostname%% %%app-name%% %%msgid%% %%structured-data%% %%msg%%\n")
action(type="omfile" file="%[3]s" template="all" asyncWriting="off")
`, dir, port, out)
	if err := os.WriteFile(dir+"/rsyslog.conf", []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	rsyslog := serverOf(t, nil, "/usr/sbin/rsyslogd", "-n", "-f", dir+"/rsyslog.conf", "-i", dir+"/pid")
	rsyslog.start()
	g := openGate(t, sink.Config{Name: "siem", Type: sink.Syslog, URL: fmt.Sprintf("tls://127.0.0.1:%d", port), Roots: dir + "/ca.pem", Message: 480})
	g.cross(50)
	all := func() bool {
		text, _ := os.ReadFile(out)
		for id := range g.ids {
			if !bytes.Contains(text, []byte(`id="`+id+`"`)) {
				return false
			}
		}
		return true
	}
	g.until("the first events are in the file", all)
	rsyslog.stop(syscall.SIGKILL)
	g.cross(50)
	g.until("the failure shows", func() bool { return g.set.Status()[0].Error != "" })
	rsyslog.start()
	g.until("all events are in the file", all)
	text, _ := os.ReadFile(out)
	if !strings.Contains(string(text), "gate-1 sallyport stanza [record@32473 id=") || !strings.Contains(string(text), ` cut="`) {
		t.Errorf("fields are not where they belong, or nothing was cut:\n%.1500s", text)
	}
}

// TestNATS: a real server is killed between, and the sink sends all again once; the stream has each id once.
func TestNATS(t *testing.T) {
	t.Parallel()
	needs(t, "/usr/sbin/nats-server")
	dir := t.TempDir()
	certificate(t, dir, nil)
	port := freePort(t)
	server := serverOf(t, nil, "/usr/sbin/nats-server", "-a", "127.0.0.1", "-p", fmt.Sprint(port), "-js", "-sd", dir+"/js", "--tls", "--tlscert", dir+"/cert.pem", "--tlskey", dir+"/key.pem")
	server.start()
	url := fmt.Sprintf("tls://127.0.0.1:%d", port)
	g := openGate(t, sink.Config{Name: "bus", Type: sink.NATS, URL: url, Roots: dir + "/ca.pem", Batch: 20})
	g.cross(60)
	g.arrive()
	server.stop(syscall.SIGKILL)
	g.cross(30)
	g.until("the failure shows", func() bool { return g.set.Status()[0].Error != "" })
	server.start()
	g.arrive()
	g.stop()
	if err := os.Remove(filepath.Join(g.dir, "sinks", "bus.cursor")); err != nil {
		t.Fatal(err)
	}
	g.start()
	g.arrive()
	conn, err := nats.Connect(url, nats.RootCAs(dir+"/ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	consumer, err := js.OrderedConsumer(t.Context(), "SALLYPORT", jetstream.OrderedConsumerConfig{})
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]int{}
	batch, err := consumer.Fetch(1000, jetstream.FetchMaxWait(time.Second))
	if err != nil {
		t.Fatal(err)
	}
	for m := range batch.Messages() {
		seen[m.Headers().Get("Nats-Msg-Id")]++
	}
	for id := range g.ids {
		if seen[id] != 1 {
			t.Errorf("event %s is %d times in the stream", id, seen[id])
		}
	}
}
