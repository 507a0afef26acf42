package demo

import (
	"context"
	"fmt"
	"sync"
	"time"

	"sallyport/internal/peer"
)

// defaultPatience is how long one stanza may take to arrive or to come back. The first of a pair waits for its links.
const defaultPatience = 20 * time.Second

// burst is how many messages are sent in a row to see that they stay in order.
const burst = 20

// play is one performance.
type play struct {
	cast   *cast
	gate   Gate
	ledger *ledger
	show   *screen

	patience time.Duration
	faults   []string // seen while playing
}

func (p *play) alice() *peer.User { return p.cast.corp.User("alice") }
func (p *play) board() *peer.User { return p.cast.corp.User("board") }
func (p *play) bob() *peer.User   { return p.cast.partner.User("bob") }
func (p *play) eve() *peer.User   { return p.cast.rival.User("eve") }

// listen books what the users receive until the returned function is called.
func (p *play) listen(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var ears sync.WaitGroup
	for _, u := range []*peer.User{p.alice(), p.board(), p.bob(), p.eve()} {
		ears.Go(func() {
			for {
				st, err := u.Receive(ctx)
				if err != nil {
					return
				}
				p.ledger.arrived(st)
			}
		})
	}
	return func() { cancel(); ears.Wait() }
}

// allowed is what must get through, both ways.
func (p *play) allowed(ctx context.Context) {
	alice, bob := p.alice(), p.bob()
	p.show.heading("What passes")
	p.say(ctx, alice, bob.Address, "Hello Bob, can you read me?")
	p.say(ctx, bob, alice.Address, "Loud and clear. Is this <encrypted> & \"proved\"?")
	p.presence(ctx, alice, bob.Address)
	p.presence(ctx, bob, alice.Address)
	p.ask(ctx, alice, partner, "ping", alice.Ping)
	p.ask(ctx, bob, alice.Address, "ping", bob.Ping)
	p.ask(ctx, alice, bob.Address, "version", alice.Version)
	p.inARow(ctx, alice, bob.Address)
	p.inARow(ctx, bob, alice.Address)
}

// forbidden is what must not, both ways.
func (p *play) forbidden(ctx context.Context) {
	alice, board, bob, eve := p.alice(), p.board(), p.bob(), p.eve()
	p.show.heading("What is refused")
	p.forbid(ctx, eve, alice.Address, "Psst, Alice…")
	p.forbid(ctx, alice, eve.Address, "Hello Eve")
	p.forbid(ctx, alice, bob.Address, "CONFIDENTIAL: next year's figures")
	p.forbid(ctx, board, bob.Address, "From the board room")
	p.forbid(ctx, bob, board.Address, "To whom it may concern")
	p.forbidUnanswered(ctx, alice, eve.Address)
}

func (p *play) say(ctx context.Context, from *peer.User, to, body string) {
	a := p.ledger.open(&attempt{kind: "message", from: from.Address, to: to, what: body})
	p.submit(a, func() (string, error) { return from.Send(to, body) })
	p.wait(ctx, a)
	p.show.passed(p.ledger.view(a))
}

func (p *play) presence(ctx context.Context, from *peer.User, to string) {
	a := p.ledger.open(&attempt{kind: "presence", from: from.Address, to: to, what: "available"})
	p.submit(a, func() (string, error) { return from.Presence(to, "") })
	p.wait(ctx, a)
	p.show.passed(p.ledger.view(a))
}

// ask sends an iq. Its answer is a stanza too, sent back by the other server.
func (p *play) ask(ctx context.Context, from *peer.User, to, what string, query func(context.Context, string) (peer.Stanza, error)) {
	ctx, cancel := context.WithTimeout(ctx, p.patience)
	defer cancel()
	a := p.ledger.open(&attempt{kind: "iq", from: from.Address, to: to, what: what})
	st, err := query(ctx, to)
	if err != nil {
		p.show.passed(p.ledger.view(a))
		return
	}
	p.ledger.sent(a, st.ID)
	p.ledger.arrived(peer.Stanza{ID: st.ID, Error: st.Error})
	if st.Error == nil {
		// The same id in the other direction: it is booked under a name of its own.
		answer := p.ledger.open(&attempt{kind: "iq", from: to, to: from.Address, what: "answer to " + what})
		p.ledger.answered(answer, st.ID)
	}
	p.show.passed(p.ledger.view(a))
}

// inARow sends a burst and looks whether it arrives in the order in which it was sent.
func (p *play) inARow(ctx context.Context, from *peer.User, to string) {
	row := make([]*attempt, burst)
	for i := range row {
		a := p.ledger.open(&attempt{kind: "message", from: from.Address, to: to, what: fmt.Sprintf("%d of %d in a row", i+1, burst)})
		p.submit(a, func() (string, error) { return from.Send(to, a.what) })
		row[i] = a
	}
	for _, a := range row {
		p.wait(ctx, a)
	}
	inOrder := p.ledger.inOrder(row)
	if !inOrder {
		p.faults = append(p.faults, fmt.Sprintf("%d messages %s → %s did not arrive in the order in which they were sent", burst, from.Address, to))
	}
	p.show.row(p.ledger.view(row[0]), inOrder, time.Since(row[0].begun))
}

func (p *play) forbid(ctx context.Context, from *peer.User, to, body string) {
	a := p.ledger.open(&attempt{kind: "message", from: from.Address, to: to, what: body, forbidden: true})
	p.submit(a, func() (string, error) { return from.Send(to, body) })
	p.wait(ctx, a)
	p.show.refused(p.ledger.view(a))
}

// forbidUnanswered sends presence, which nobody answers, and an iq behind it: when that came back, the presence was judged too.
func (p *play) forbidUnanswered(ctx context.Context, from *peer.User, to string) {
	a := p.ledger.open(&attempt{kind: "presence", from: from.Address, to: to, what: "available", forbidden: true})
	p.submit(a, func() (string, error) { return from.Presence(to, "") })
	ctx, cancel := context.WithTimeout(ctx, p.patience)
	defer cancel()
	b := p.ledger.open(&attempt{kind: "iq", from: from.Address, to: to, what: "ping", forbidden: true})
	if st, err := from.Ping(ctx, to); err == nil {
		p.ledger.sent(b, st.ID)
		p.ledger.arrived(peer.Stanza{ID: st.ID, Error: st.Error})
	}
	p.show.refused(p.ledger.view(a))
	p.show.refused(p.ledger.view(b))
}

// submit sends an attempt. A pretend server takes whatever its own users send.
func (p *play) submit(a *attempt, send func() (string, error)) {
	if id, err := send(); err == nil {
		p.ledger.sent(a, id)
	}
}

func (p *play) wait(ctx context.Context, a *attempt) {
	ctx, cancel := context.WithTimeout(ctx, p.patience)
	defer cancel()
	select {
	case <-a.done:
	case <-ctx.Done():
	}
}
