package proxy

import (
	"errors"
	"sync"

	"sallyport/internal/stream"
)

// writer is the half of a stream on which our stanzas go out, and what the peer says there about them. One goroutine reads what the
// peer says.
type writer struct {
	// Set at birth.
	p    *Proxy
	s    *stream.Stream
	told stream.Capacity // what the peer says that it takes
	done chan struct{}   // closed when nothing more will come from the peer

	// Written before done is closed.
	err error // why

	// Held from the counting of stanzas until they are written: the peer counts in the order of the wire.
	turn sync.Mutex

	// Guarded by mu.
	mu    sync.Mutex
	links map[*outbound]struct{} // that write here
	acks  acks
	fault *stream.Error // why we ended the stream
}

func newWriter(p *Proxy, s *stream.Stream) *writer {
	return &writer{p: p, s: s, told: s.FeatureLimits(), done: make(chan struct{}), links: make(map[*outbound]struct{})}
}

// join and leave say who is to be told of acknowledgements.
func (w *writer) join(o *outbound) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.links[o] = struct{}{}
}

func (w *writer) leave(o *outbound) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.links, o)
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

// hear takes what a receiving server may say on a stream that carries stanzas only from us: acknowledgements, errors, and its end.
// Questions and stanzas have no place here ([B21], [B25]).
func (w *writer) hear() error {
	strays := strays{p: w.p, s: w.s}
	for {
		el, err := w.s.Next()
		switch {
		case errors.Is(err, stream.ErrStanza):
			w.s.Fail(&stream.Error{Condition: stream.NotAuthorized})
			return errors.New("the peer sent a stanza on a stream of ours, which it has not proved itself on")
		case err != nil:
			return err
		}
		if spaceOf(el) != stream.NSAcks {
			strays.pass(el)
			continue
		}
		if e := w.acknowledge(el); e != nil {
			w.fail(e)
			return e
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
