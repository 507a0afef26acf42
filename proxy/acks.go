package proxy

import (
	"errors"
	"time"

	"sallyport/audit"
	"sallyport/internal/stanza"
	"sallyport/internal/stream"
)

// acks is our account with a peer that acknowledges what it has taken (XEP-0198 §4).
type acks struct {
	on          bool
	sent, taken uint64      // stanzas, since acknowledgements are on
	asked       bool        // an <r/> is under way,
	since       time.Time   // since when,
	late        *time.Timer // and when the peer has had its time to answer; nil before the first
}

// rest stops the clock.
func (a *acks) rest() {
	if a.asked = false; a.late != nil {
		a.late.Stop()
	}
}

// enable asks the peer to acknowledge. What is written from here on counts, whether it agrees or not is seen later.
func (w *writer) enable() {
	w.mu.Lock()
	w.acks.on = true
	w.mu.Unlock()
	w.s.Write(stream.AppendEnable(nil)) // whoever writes next meets the error
}

// enabled agrees to what the peer asks for, before which nothing of ours counts. A stream that carries one way has no writer.
func (w *writer) enabled(s *stream.Stream) error {
	agreed := stream.AppendEnabled(nil)
	if w == nil {
		_, err := s.Write(agreed)
		return err
	}
	w.turn.Lock()
	defer w.turn.Unlock()
	_, err := s.Write(agreed)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.acks.on = true
	return err
}

// count takes n stanzas that are to be written into the account. base is what was in it before; on says whether there is one.
func (w *writer) count(n int) (base uint64, on bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.acks.on {
		return 0, false
	}
	base = w.acks.sent
	w.acks.sent += uint64(n)
	return base, true
}

// asks says whether an <r/> is due, which the caller is to write: never a second one before the first is answered, so they keep the
// pace of the line by themselves.
func (w *writer) asks() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	a := &w.acks
	if !a.on || a.asked || a.taken == a.sent {
		return false
	}
	patience := w.p.now().Limits.Ack
	a.asked, a.since = true, time.Now()
	if a.late == nil {
		a.late = time.AfterFunc(patience, w.overdue)
	} else {
		a.late.Reset(patience)
	}
	return true
}

var errUnacknowledged = errors.New("stanzas were not acknowledged in time (limits.ack)")

// overdue ends the stream of a peer that does not answer an <r/>.
func (w *writer) overdue() {
	w.mu.Lock()
	silent := w.acks.asked && time.Since(w.acks.since) >= w.p.now().Limits.Ack
	w.mu.Unlock()
	if silent {
		w.fail(&stream.Error{Condition: stream.ConnectionTimeout, Text: "no answer to <r/>", Err: errUnacknowledged})
	}
}

// account says how far the peer is; on says whether it acknowledges at all.
func (w *writer) account() (taken uint64, on bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.acks.taken, w.acks.on
}

// acknowledge takes an element of XEP-0198 on a stream on which only we send stanzas. The error is what the peer is to be told.
func (w *writer) acknowledge(el *stanza.Element) *stream.Error {
	kind, handled, err := stream.ParseAck(el)
	switch {
	case err != nil:
		return ours(err)
	case kind == stream.AckFailed:
		w.refused()
	case kind == stream.AckAnswer:
		return w.answered(handled)
	case kind == stream.AckRequest:
		if _, on := w.account(); on {
			w.s.Write(stream.AppendAck(nil, 0)) // whoever writes next meets the error
		}
	}
	return nil
}

// refused closes the account: the peer does not acknowledge after all.
func (w *writer) refused() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.acks.on = false
	w.acks.rest()
	w.tell()
}

// answered takes the peer's count, which has 32 bits. The error is for a peer that counts more than we sent, or goes back ([M05]).
func (w *writer) answered(handled uint32) *stream.Error {
	w.mu.Lock()
	defer w.mu.Unlock()
	a := &w.acks
	if !a.on {
		return nil
	}
	n := uint64(handled - uint32(a.taken))
	if n > a.sent-a.taken {
		return stream.HandledTooHigh(handled, uint32(a.sent))
	}
	a.taken += n
	a.rest()
	w.tell()
	return nil
}

// tell wakes the links that write here; the caller holds mu.
func (w *writer) tell() {
	for o := range w.links {
		o.nudge()
	}
}

// batch is what was written at once and is not wholly acknowledged.
type batch struct {
	q    queue
	base uint64 // in the stream's account before it
	done int    // items that are acknowledged
}

// keep holds on to the first n stanzas of current, which were written.
func (o *outbound) keep(base uint64, n int) {
	if n == 0 {
		return
	}
	b := batch{base: base}
	if n == len(o.current.items) {
		b.q, o.current = o.current, queue{}
	} else {
		b.q = o.current.shift(n)
	}
	o.unacked = append(o.unacked, b)
	o.mu.Lock()
	defer o.mu.Unlock()
	o.kept += n
	o.keptBytes += b.q.start(n)
}

// free gives up n stanzas that were kept, and their room in the queue.
func (o *outbound) free(n, bytes int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.kept -= n
	o.keptBytes -= bytes
	o.full = false
	close(o.room)
	o.room = make(chan struct{})
}

// acknowledged settles what the peer has taken, or what it will never acknowledge.
func (o *outbound) acknowledged(w *writer) {
	if len(o.unacked) == 0 {
		return
	}
	taken, on := w.account()
	for len(o.unacked) > 0 {
		b := &o.unacked[0]
		upTo, outcome := len(b.q.items), audit.Written
		if on {
			upTo, outcome = int(min(max(taken, b.base)-b.base, uint64(upTo))), audit.Acked
		}
		if upTo > b.done {
			o.delivered(&b.q, b.done, upTo, outcome)
			o.free(upTo-b.done, b.q.start(upTo)-b.q.start(b.done))
			b.done = upTo
		}
		if b.done < len(b.q.items) {
			return
		}
		b.q.reset()
		o.unacked = o.unacked[1:]
	}
	o.unacked = nil
}

// lastCall gives the peer a moment to acknowledge, before we end a stream.
func (o *outbound) lastCall(w *writer) {
	late := time.NewTimer(stuck)
	defer late.Stop()
	for o.acknowledged(w); len(o.unacked) > 0; o.acknowledged(w) {
		if w.asks() {
			w.s.Write(stream.AppendAckRequest(nil))
		}
		select {
		case <-o.wake:
		case <-w.done:
			return
		case <-late.C:
			return
		}
	}
}

// takeBack puts what was not acknowledged when its stream ended in front of what waits for the next one. That may deliver a stanza
// twice, so it is done once; the second time its sender is told ([M06]).
func (o *outbound) takeBack(w *writer) {
	o.acknowledged(w)
	if len(o.unacked) == 0 {
		return
	}
	var again, lost queue
	for i := range o.unacked {
		b := &o.unacked[i]
		for k := b.done; k < len(b.q.items); k++ {
			if it := b.q.items[k]; it.again {
				lost.push(b.q.stanza(k), it)
			} else {
				it.again = true
				again.push(b.q.stanza(k), it)
			}
		}
		o.free(len(b.q.items)-b.done, b.q.start(len(b.q.items))-b.q.start(b.done))
		b.q.reset()
	}
	o.unacked = nil
	o.log.Warn("the stream ended before the peer acknowledged all that it got", "sent_again", len(again.items), "bounced", len(lost.items))
	for i := range o.current.items {
		again.push(o.current.stanza(i), o.current.items[i])
	}
	o.current.reset()
	o.current = again
	o.settled(len(lost.items))
	o.returned(&lost, stanza.Error{Condition: stanza.RemoteServerTimeout, Type: "wait", By: o.r.pair.Local.String(),
		Text: "the recipient's server got this message twice and confirmed it neither time; it may have arrived"})
	o.unaware = o.unaware || w.faulty() != nil
}

// acknowledge answers an element of XEP-0198 on a stream that a peer opened. We count what we have recorded and taken responsibility
// for ([M04]–[M06]); requests are answered when the batch in which they stand has been carried.
func (in *inbound) acknowledge(s *stream.Stream, el *stanza.Element) error {
	kind, handled, err := stream.ParseAck(el)
	on, w := in.acking.Load(), in.back.Load()
	switch {
	case in.door == Inside:
		return nil
	case err != nil:
		return err
	case in.over != nil && kind == stream.AckEnabled, kind == stream.AckEnable && in.over == nil && !on && in.hasProof() && in.p.now().Acks:
		in.uncounted = in.carried.Load()
		in.acking.Store(true)
		if kind == stream.AckEnable {
			err = w.enabled(s)
		}
	case in.over != nil && kind == stream.AckFailed:
		w.refused()
	case kind == stream.AckAnswer && w != nil:
		if e := w.answered(handled); e != nil {
			return e
		}
	case kind == stream.AckRequest && on:
		in.requests++
	case kind == stream.AckEnable, kind == stream.AckRequest:
		_, err = s.Write(stream.AppendAckFailed(nil, stanza.UnexpectedRequest))
	case kind == stream.AckResume:
		_, err = s.Write(stream.AppendAckFailed(nil, stanza.FeatureNotImplemented))
	case kind == stream.AckAnswer && on && handled > 0:
		return stream.HandledTooHigh(handled, 0)
	}
	return err
}

// handled is how many stanzas we have taken since acknowledgements are on.
func (in *inbound) handled() uint32 { return uint32(in.carried.Load() - in.uncounted) }

// answerRequests answers each <r/> of a batch.
func (in *inbound) answerRequests(s *stream.Stream) error {
	if in.requests == 0 {
		return nil
	}
	var b []byte
	for ; in.requests > 0; in.requests-- {
		b = stream.AppendAck(b, in.handled())
	}
	return s.Post(b)
}

// lastAck has the count of what we have taken stand in front of the stream's end: the peer sends again what is not in it.
func (in *inbound) lastAck(s *stream.Stream) {
	if in.acking.Load() {
		s.Parting(stream.AppendAck(nil, in.handled()))
	}
}
