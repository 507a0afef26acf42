package peer

import (
	"cmp"
	"context"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"net"
	"sync"
)

// Link is an outgoing stream for one pair.
type Link struct {
	s    *Server
	pair Pair
	up   chan struct{} // closed when the pair is proved
	down chan struct{} // closed when the link has ended; err is set then

	// Owned by run.
	wire *wire

	mu        sync.Mutex
	state     linkState
	err       error
	queue     []Stanza   // of the time before the proof
	questions []question // of the time before the header
	asked     map[question]chan string
}

type linkState uint8

const (
	dialling linkState = iota
	proving            // the headers are exchanged: questions may be asked
	proved             // stanzas may be sent
	ended
)

// question asks whether a key is genuine. The key is not part of what the answer must match, RFC 3920 §8.3.
type question struct {
	Pair Pair // Local asks about Remote
	ID   string
	key  string
}

// run is the life of a link, from dialling to the last word.
func (l *Link) run() {
	err := l.serve()
	l.s.forget(l)
	l.mu.Lock()
	l.state, l.err = ended, cmp.Or(err, net.ErrClosed)
	queue := l.queue
	l.queue = nil
	close(l.down)
	l.mu.Unlock()
	for _, st := range queue {
		l.s.bounce(st, fmt.Errorf("no link from %s to %s: %w", l.pair.Local, l.pair.Remote, l.err))
	}
	l.s.hooks.Watch(LinkEvent{Pair: l.pair, Err: l.err})
}

func (l *Link) serve() error {
	ctx, cancel := context.WithTimeout(l.s.ctx, setupTime)
	defer cancel()
	w, err := l.s.connect(ctx, l.pair)
	if err != nil {
		return err
	}
	defer l.s.attend(w)()
	l.wire = w
	err = l.prove()
	if err == nil {
		err = l.listen()
	}
	w.close(err)
	return err
}

// prove shows who we are: by certificate where that is offered, else by a dialback key.
func (l *Link) prove() error {
	w := l.wire
	if mechanisms := w.features.child(nsSASL, "mechanisms"); l.s.external && mechanisms.offers("EXTERNAL") {
		accepted, err := l.authenticate()
		if err == nil && accepted {
			err = cmp.Or(l.begin(), l.ready())
		}
		if err != nil || accepted {
			return err
		}
	}
	if !w.peer.Dialback && w.features.child("urn:xmpp:features:dialback", "dialback") == nil {
		return fmt.Errorf("%s offers no dialback", l.pair.Remote)
	}
	if w.peer.ID == "" {
		return fmt.Errorf("%s answered without a stream id", l.pair.Remote)
	}
	key := l.s.key(challenge{Receiving: l.pair.Remote, Originating: l.pair.Local, ID: w.peer.ID})
	if err := w.write(fmt.Sprintf("<db:result from='%s' to='%s'>%s</db:result>", escape(l.pair.Local), escape(l.pair.Remote), key)); err != nil {
		return err
	}
	return l.begin()
}

func (e *element) offers(mechanism string) bool {
	if e == nil {
		return false
	}
	for i := range e.Children {
		if e.Children[i].is(nsSASL, "mechanism") && e.Children[i].Text == mechanism {
			return true
		}
	}
	return false
}

// authenticate tries SASL EXTERNAL, RFC 6120 §6. A refusal leaves the stream as it was, for dialback.
func (l *Link) authenticate() (accepted bool, err error) {
	w := l.wire
	who := base64.StdEncoding.EncodeToString([]byte(l.pair.Local))
	if err := w.write(fmt.Sprintf("<auth xmlns='%s' mechanism='EXTERNAL'>%s</auth>", nsSASL, who)); err != nil {
		return false, err
	}
	answer, err := w.next()
	switch {
	case err != nil:
		return false, err
	case answer.is(nsSASL, "failure"):
		return false, nil
	case !answer.is(nsSASL, "success"):
		return false, fmt.Errorf("%s answered <auth/> with <%s/>", l.pair.Remote, answer.XMLName.Local)
	}
	w.restart()
	return true, l.s.greet(w, l.pair)
}

// begin sends the questions that were waiting for a stream.
func (l *Link) begin() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.state = proving
	for _, q := range l.questions {
		if err := l.wire.write(q.xml()); err != nil {
			return err
		}
	}
	l.questions = nil
	return nil
}

// ready sends the stanzas that were waiting for the proof; those that come now follow them.
func (l *Link) ready() error {
	l.wire.trust()
	l.s.hooks.Watch(LinkEvent{Pair: l.pair, Up: true})
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.queue) > 0 {
		if err := l.wire.write(l.queue[0].XML()); err != nil {
			return err
		}
		l.queue = l.queue[1:]
	}
	l.queue, l.state = nil, proved
	close(l.up)
	return nil
}

// listen reads what the other side says on our stream: answers to dialback, and how it ends.
func (l *Link) listen() error {
	for {
		el, err := l.wire.next()
		if err != nil {
			return err
		}
		switch {
		case el.is(nsDialback, "verify") && el.attr("type") != "":
			l.answered(question{Pair: Pair{Local: el.attr("to"), Remote: el.attr("from")}, ID: el.attr("id")}, el.attr("type"))
		case el.is(nsDialback, "result") && el.attr("from") == l.pair.Remote && el.attr("to") == l.pair.Local:
			if el.attr("type") != "valid" {
				return fmt.Errorf("%s answered our key with %s %s", l.pair.Remote, el.attr("type"), reasonIn(el))
			}
			if l.isProved() {
				continue // said twice
			}
			if err := l.ready(); err != nil {
				return err
			}
		case el.is(nsServer, "message"), el.is(nsServer, "presence"), el.is(nsServer, "iq"):
			// RFC 6120 §10.3: a stream carries stanzas one way. jabberd 1.4 ends its send-only socket over this.
			return &StreamError{Condition: "undefined-condition", Text: "a stanza came on an outgoing stream"}
		}
	}
}

func reasonIn(el *element) string {
	if e := el.child(nsServer, "error"); e != nil {
		return parseStanzaError(e).Error()
	}
	return ""
}

func (l *Link) isProved() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.state == proved
}

// send writes a stanza, or queues it until the pair is proved. It says false when the link has ended.
func (l *Link) send(st Stanza) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch l.state {
	case ended:
		return false
	case proved:
		return l.wire.write(st.XML()) == nil
	}
	l.queue = append(l.queue, st)
	return true
}

// Open returns the outgoing link of a pair as soon as it is proved.
func (s *Server) Open(ctx context.Context, p Pair) (*Link, error) {
	l := s.link(p)
	select {
	case <-l.up:
		return l, nil
	case <-l.down:
		return nil, fmt.Errorf("opening a link from %s to %s: %w", p.Local, p.Remote, l.err)
	case <-ctx.Done():
		return nil, fmt.Errorf("opening a link from %s to %s: %w", p.Local, p.Remote, ctx.Err())
	}
}

// Write sends bytes over a proved link as they are; they must be whole stanzas. The server's users and counts know nothing of it.
func (l *Link) Write(b []byte) (int, error) { return l.wire.writeBytes(b) }

// TLS is what the link's TLS agreed on, nil in plaintext. The link must be proved.
func (l *Link) TLS() *tls.ConnectionState { return l.wire.tls() }

// Close ends a link that Open returned and waits until it is gone.
func (l *Link) Close() {
	l.wire.end(nil)
	<-l.down
}
