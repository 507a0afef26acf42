package demo

import (
	"cmp"
	"fmt"
	"slices"
	"sync"
	"time"

	"sallyport/internal/peer"
)

// attempt is one stanza that a user sent, and what became of it.
type attempt struct {
	kind, from, to string
	what           string // body, or what it asks
	forbidden      bool   // policy must keep it from arriving
	id             string
	begun          time.Time

	done      chan struct{} // closed when it arrived or came back
	delivered bool
	order     int // among all arrivals
	bounce    *peer.StanzaError
	took      time.Duration
	record    string // the effect that the record has: allow, deny, drop, atLink; empty when it is not there
}

// atLink marks an attempt whose sender's domain was refused before it could send a stanza.
const atLink = "link"

// ledger knows of every stanza sent. Arrivals are booked by id, wherever they turn up.
type ledger struct {
	mu       sync.Mutex
	attempts []*attempt
	byID     map[string]*attempt
	early    map[string]arrival // arrived before their sender told the id
	arrivals int
	strays   int // arrivals that nobody sent
}

func newLedger() *ledger {
	return &ledger{byID: make(map[string]*attempt), early: make(map[string]arrival)}
}

// open enters an attempt that is about to be made.
func (l *ledger) open(a *attempt) *attempt {
	l.mu.Lock()
	defer l.mu.Unlock()
	a.begun, a.done = time.Now(), make(chan struct{})
	l.attempts = append(l.attempts, a)
	return a
}

// sent enters the id that an attempt was given. The stanza may have arrived already.
func (l *ledger) sent(a *attempt, id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	a.id = id
	l.byID[id] = a
	if was, ok := l.early[id]; ok {
		delete(l.early, id)
		l.settle(a, was)
	}
}

// arrived books a stanza that a user received: its delivery, or its coming back.
func (l *ledger) arrived(st peer.Stanza) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.arrivals++
	is := arrival{st, l.arrivals}
	if a, ok := l.byID[st.ID]; ok {
		l.settle(a, is)
	} else {
		l.early[st.ID] = is
	}
}

// arrival is a stanza that came, and its place among all that came.
type arrival struct {
	st    peer.Stanza
	order int
}

func (l *ledger) settle(a *attempt, is arrival) {
	first := !a.delivered && a.bounce == nil
	if is.st.Error != nil {
		a.bounce = is.st.Error
	} else {
		a.delivered, a.order = true, is.order
	}
	if first {
		a.took = time.Since(a.begun)
		close(a.done)
	} else {
		l.strays++ // twice, or both arrived and bounced
	}
}

// outcome in one word.
func (a *attempt) outcome() string {
	switch {
	case a.delivered:
		return "delivered"
	case a.bounce != nil:
		return "bounced"
	case a.forbidden && a.record != "" && a.record != "allow":
		return "dropped"
	}
	return "lost"
}

// answered enters an attempt that was seen only when it arrived: the answer to an iq, which has the question's id.
func (l *ledger) answered(a *attempt, id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	a.id = id
	l.arrivals++
	l.settle(a, arrival{peer.Stanza{ID: id}, l.arrivals})
}

// view is what is known of an attempt now.
func (l *ledger) view(a *attempt) attempt {
	l.mu.Lock()
	defer l.mu.Unlock()
	return *a
}

// inOrder says whether all of a row arrived, and in the order in which they were sent.
func (l *ledger) inOrder(row []*attempt) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.IsSortedFunc(row, func(a, b *attempt) int { return cmp.Compare(a.order, b.order) }) && row[0].delivered
}

// count fills the sums of a result and tells which attempts did not end as they had to.
func (l *ledger) count(res *Result) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, a := range l.attempts {
		res.Sent++
		outcome := a.outcome()
		switch outcome {
		case "delivered":
			res.Delivered++
		case "bounced":
			res.Bounced++
		case "lost":
			res.Lost++
		}
		switch a.record {
		case "":
		case atLink:
			res.AtLink++
		default:
			res.Recorded++
		}
		if a.forbidden && (outcome == "bounced" || outcome == "dropped") {
			res.Refused++
		}
		switch {
		case a.record == "":
			res.fault("%s: not in the record", a)
		case outcome == "lost":
			res.fault("%s: lost", a)
		case a.forbidden && outcome == "delivered":
			res.fault("%s: delivered, though policy forbids it", a)
		case !a.forbidden && outcome != "delivered":
			res.fault("%s: %s, though policy allows it", a, outcome)
		}
	}
	if n := l.strays + len(l.early); n > 0 {
		res.fault("%d stanzas arrived that nobody sent, or twice", n)
	}
}

func (a *attempt) String() string {
	return fmt.Sprintf("%s %s → %s (%s)", a.kind, a.from, a.to, a.what)
}
