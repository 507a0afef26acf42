package proxy

import (
	"context"
)

// answer orders the replies to db:result: some servers take the next answer for their own (D9, L41).
type answer struct{ said chan struct{} }

// queueAnswer reserves the place behind the answers that are still to come.
func (in *inbound) queueAnswer() (turn [2]*answer) {
	in.mu.Lock()
	defer in.mu.Unlock()
	mine := &answer{said: make(chan struct{})}
	turn = [2]*answer{in.order, mine}
	in.order = mine
	return turn
}

// inTurn gives an answer that is ready when those before it have been given, without holding the reader back: behind the db:result
// there may be a db:verify, which is answered at once (D4). A peer that has too many answers to come is answered out of turn.
func (in *inbound) inTurn(ctx context.Context, give func() error) error {
	in.mu.Lock()
	before := in.order
	in.mu.Unlock()
	if before == nil || before.given() || in.door == Outside && in.pending.Load() >= int32(in.p.now().Limits.PendingPerStream) {
		return give()
	}
	in.pending.Add(1)
	turn := in.queueAnswer()
	in.verifying.Go(func() {
		defer in.pending.Add(-1)
		defer close(turn[1].said)
		turn[0].await(ctx)
		give()
	})
	return nil
}

func (a *answer) given() bool {
	select {
	case <-a.said:
		return true
	default:
		return false
	}
}

// await returns when the answer has been given, or the stream ends. There is nothing to wait for before the first one.
func (a *answer) await(ctx context.Context) {
	if a == nil {
		return
	}
	select {
	case <-a.said:
	case <-ctx.Done():
	}
}
