package sink

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"sallyport/audit"
)

// duplicates is for how long the stream must remember message ids: longer than a sink waits before it tries again.
const duplicates = 2 * time.Minute

// bus is a connection to a NATS server with JetStream.
type bus struct {
	conn *nats.Conn
	js   jetstream.JetStream
	cfg  Config
	node string
	most int // bytes of a message without its headers

	window int // events that may be on their way
}

// headerBytes is room for the headers of a message, which the server counts too.
const headerBytes = 1 << 10

// dialNATS connects and checks that the stream takes our subjects and forgets no id too soon; it makes the stream where there is none.
func dialNATS(ctx context.Context, cfg Config, node string, from audit.Place) (_ receiver, _ audit.Place, err error) {
	options := []nats.Option{nats.Name("sallyport " + node), nats.NoReconnect(), nats.Timeout(dialTime)}
	secret, err := cfg.secret()
	if err != nil {
		return nil, from, err
	}
	if secret != "" {
		options = append(options, nats.Token(secret))
	}
	if cfg.Roots != "" || cfg.Cert != "" {
		config, err := cfg.tls()
		if err != nil {
			return nil, from, err
		}
		options = append(options, nats.Secure(config))
	}
	conn, err := nats.Connect(cfg.URL, options...)
	if err != nil {
		return nil, from, err
	}
	defer func() {
		if err != nil {
			conn.Close()
		}
	}()
	js, err := jetstream.New(conn)
	if err != nil {
		return nil, from, err
	}
	stream, err := js.Stream(ctx, cfg.Stream)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		stream, err = js.CreateStream(ctx, jetstream.StreamConfig{Name: cfg.Stream, Subjects: []string{cfg.Subject + ".>"}, Storage: jetstream.FileStorage,
			Discard: jetstream.DiscardNew, Duplicates: duplicates})
	}
	if err != nil {
		return nil, from, fmt.Errorf("stream %s: %w", cfg.Stream, err)
	}
	have := stream.CachedInfo().Config
	if have.NoAck || have.Storage != jetstream.FileStorage || have.Duplicates < duplicates {
		return nil, from, fmt.Errorf("stream %s: it must acknowledge, store in files, and have a duplicate window of at least %s", cfg.Stream, duplicates)
	}
	most := conn.MaxPayload()
	if have.MaxMsgSize > 0 {
		most = min(most, int64(have.MaxMsgSize))
	}
	return &bus{conn: conn, js: js, cfg: cfg, node: node, most: int(max(most-headerBytes, 0)), window: mostInFlight}, from, nil
}

func (b *bus) close() { b.conn.Close() }

// Events are published without waiting for one another, up to window, and each but the first names the one that must be the stream's last
// before it: where one is refused, so are all behind it, and the order is kept. Another publisher to the stream breaks the chain, too, which
// makes the window smaller; what is left goes on behind what was taken.
const mostInFlight = 1024

// send publishes events, and waits until the stream has acknowledged each.
func (b *bus) send(ctx context.Context, events []event, at audit.Place) (audit.Place, error) {
	for len(events) > 0 {
		n := min(b.window, len(events))
		took, err := b.publish(ctx, events[:n])
		events = events[took:]
		switch {
		case err == nil && n == b.window:
			b.window = min(2*b.window, mostInFlight)
		case err == nil:
		case took > 0 && errors.As(err, new(*jetstream.APIError)):
			b.window = max(b.window/2, 1)
		default:
			return at, err
		}
	}
	return at, nil
}

// publish publishes events at once, and says how many of them, from the first on, the stream has taken.
func (b *bus) publish(ctx context.Context, events []event) (took int, err error) {
	acks := make([]jetstream.PubAckFuture, 0, len(events))
	for i := range events {
		e := &events[i]
		m := &nats.Msg{Subject: b.cfg.Subject + ".event", Data: e.line, Header: nats.Header{"Sallyport-Kind": {e.Kind}}}
		if len(e.line) > b.most { // it would be refused for ever, and with it all that come after it
			m.Data = e.line[:charsWithin(e.line, b.most)]
			m.Header.Set("Sallyport-Cut", strconv.Itoa(len(e.line)))
		}
		options := []jetstream.PublishOpt{jetstream.WithMsgID(e.ID.String()), jetstream.WithExpectStream(b.cfg.Stream)}
		if i > 0 {
			options = append(options, jetstream.WithExpectLastMsgID(events[i-1].ID.String()))
		}
		ack, err := b.js.PublishMsgAsync(m, options...)
		if err != nil {
			return 0, err
		}
		acks = append(acks, ack)
	}
	for _, ack := range acks { // all of them: what comes next must not overtake one
		select {
		case <-ack.Ok():
			if err == nil {
				took++
			}
		case e := <-ack.Err():
			if err == nil {
				err = e
			}
		case <-ctx.Done():
			return took, fmt.Errorf("waiting for the stream: %w", ctx.Err())
		}
	}
	return took, err
}

func (b *bus) post(ctx context.Context, c checkpoint) error {
	m := &nats.Msg{Subject: b.cfg.Subject + ".checkpoint", Data: []byte(c.text), Header: nats.Header{"Sallyport-Node": {c.node}}}
	_, err := b.js.PublishMsg(ctx, m, jetstream.WithMsgID(c.id), jetstream.WithExpectStream(b.cfg.Stream))
	return err
}
