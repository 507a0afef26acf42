package receivers

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Bus is a NATS server.
type Bus struct{ *Server }

// NATS makes a server with JetStream that speaks TLS; more are lines of its configuration.
func NATS(t testing.TB, more ...string) Bus {
	t.Helper()
	needs(t, "/usr/sbin/nats-server")
	s := prepare(t, nil)
	port := FreePort(t)
	conf := s.write("nats.conf", fmt.Sprintf("listen: '127.0.0.1:%[1]d'\njetstream: {store_dir: '%[2]s/js'}\ntls: {cert_file: '%[2]s/cert.pem', key_file: '%[2]s/key.pem'}\n%[3]s\n",
		port, s.Dir, strings.Join(more, "\n")))
	s.argv = []string{"/usr/sbin/nats-server", "-c", conf}
	s.URL = fmt.Sprintf("tls://127.0.0.1:%d", port)
	return Bus{s}
}

// IDs are the message ids in the stream SALLYPORT, and how often each is.
func (b Bus) IDs() map[string]int {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	conn, err := nats.Connect(b.URL, nats.RootCAs(b.Roots))
	must(b.t, err)
	defer conn.Close()
	js, err := jetstream.New(conn)
	must(b.t, err)
	stream, err := js.Stream(ctx, "SALLYPORT")
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil
	}
	must(b.t, err)
	consumer, err := js.OrderedConsumer(ctx, "SALLYPORT", jetstream.OrderedConsumerConfig{})
	must(b.t, err)
	n := make(map[string]int)
	messages, err := consumer.Messages()
	must(b.t, err)
	defer messages.Stop()
	for left := stream.CachedInfo().State.Msgs; left > 0; left-- {
		m, err := messages.Next(jetstream.NextContext(ctx))
		must(b.t, err)
		n[m.Headers().Get("Nats-Msg-Id")]++
	}
	return n
}
