package proxy

import (
	"errors"
	"sync"
	"sync/atomic"

	"sallyport/dialback"
	"sallyport/internal/stream"
)

// writer is the half of a stream on which our stanzas go out, and what the peer says there about them. One goroutine reads what the
// peer says.
type writer struct {
	// Set at birth.
	p     *Proxy
	s     *stream.Stream
	owner *outbound       // the link that opened the stream; nil where the peer did
	id    string          // of the link that the stream is of
	told  stream.Capacity // what the peer says that it takes
	done  chan struct{}   // closed when nothing more will come from the peer
	left  chan struct{}   // buffered: a link has left

	// Written before done is closed.
	err error // why

	half atomic.Pointer[inbound] // what takes in the peer's stanzas, on a stream that the owner opened

	// Held from the counting of stanzas until they are written: the peer counts in the order of the wire.
	turn sync.Mutex

	// Guarded by mu.
	mu      sync.Mutex
	links   map[*outbound]struct{}                     // that write here
	claims  map[chan dialback.Message]dialback.Message // of further senders, and where their answers go
	closing bool                                       // nobody joins any more
	acks    acks
	fault   *stream.Error // why we ended the stream
}

func newWriter(p *Proxy, s *stream.Stream, owner *outbound, id string, told stream.Capacity) *writer {
	return &writer{p: p, s: s, owner: owner, id: id, told: told, done: make(chan struct{}), left: make(chan struct{}, 1),
		links: make(map[*outbound]struct{}), claims: make(map[chan dialback.Message]dialback.Message)}
}

// join makes a link one of those that write here; false where it comes too late.
func (w *writer) join(o *outbound) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closing {
		return false
	}
	w.links[o] = struct{}{}
	return true
}

// leave is the reverse of join.
func (w *writer) leave(o *outbound) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.links, o)
	select {
	case w.left <- struct{}{}:
	default:
	}
}

// listen reads what the peer says until it has said its last word.
func (w *writer) listen() { w.ended(w.hear()) }

// ended says that nothing more will come from the peer, and why.
func (w *writer) ended(err error) {
	w.mu.Lock()
	if w.fault != nil {
		err = w.fault
	}
	w.acks.rest()
	w.mu.Unlock()
	w.err = err
	close(w.done)
}

// hear takes what a receiving server may say on a stream that carries stanzas only from us: acknowledgements, answers about further
// senders of ours, errors, and its end. Questions and stanzas have no place here ([B21], [B25]).
func (w *writer) hear() error {
	strays := strays{p: w.p, s: w.s}
	for {
		w.s.Wait()
		el, err := w.s.Next()
		switch {
		case errors.Is(err, stream.ErrStanza):
			w.s.Fail(&stream.Error{Condition: stream.NotAuthorized})
			return errors.New("the peer sent a stanza on a stream of ours, which it has not proved itself on")
		case err != nil:
			return err
		}
		switch spaceOf(el) {
		case stream.NSAcks:
			if e := w.acknowledge(el); e != nil {
				w.fail(e)
				return e
			}
		case dialback.Namespace:
			if m, err := parseDialback(el); err != nil || !w.settle(m) {
				strays.pass(el)
			}
		}
	}
}

// faulty is why we ended the stream because of the peer's acknowledgements; nil if we did not.
func (w *writer) faulty() *stream.Error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.fault
}

// fail ends the stream because of what the peer said, or did not say.
func (w *writer) fail(e *stream.Error) {
	w.mu.Lock()
	if w.fault == nil {
		w.fault = e
	}
	w.mu.Unlock()
	w.s.Fail(e)
}
