package proxy

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"sallyport/audit"
	"sallyport/internal/jid"
	"sallyport/internal/stream"
	"sallyport/policy"
)

// notes is a record that keeps what nobody waits for.
type notes struct {
	mu     sync.Mutex
	events []audit.Event
}

func (n *notes) Append(context.Context, []audit.Event) error { return nil }

func (n *notes) Note(events ...audit.Event) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.events = append(n.events, events...)
}

// outcomes counts the settlements of each stanza.
func (n *notes) outcomes() map[uint64][]string {
	n.mu.Lock()
	defer n.mu.Unlock()
	found := make(map[uint64][]string)
	for _, e := range n.events {
		for _, r := range e.Of {
			for seq := r.First; seq <= r.Last; seq++ {
				found[seq] = append(found[seq], e.Outcome)
			}
		}
	}
	return found
}

// newLink is a link without a gate around it.
func newLink(t testing.TB) (*outbound, *notes) {
	t.Helper()
	record := &notes{}
	p := &Proxy{Record: record, Log: slog.New(slog.DiscardHandler)}
	p.settings.Store(&Settings{Limits: DefaultLimits(), Acks: true})
	p.router.init(p)
	var err error
	p.instruments, err = newInstruments(Telemetry{}, p)
	fatal(t, err)
	o := newOutbound(context.Background(), p, route{Out, Pair{jid.MustDomain("corp.example"), jid.MustDomain("remote.example")}})
	o.state = Up
	return o, record
}

const presence = "<presence from='romeo@corp.example' to='juliet@remote.example'/>"

// Whatever is written, acknowledged, cut off and sent again: each stanza is settled once, none is sent a third time, and the queue's
// room is given back (DESIGN §5, 3; [M06]).
func TestEachStanzaIsSettledOnce(t *testing.T) {
	t.Parallel()
	for seed := range uint64(300) {
		random := rand.New(rand.NewPCG(seed, 198))
		o, record := newLink(t)
		w := newWriterFor(o)
		sent := make(map[uint64]int) // how often each was written whole
		seq := uint64(0)
		for range 100 {
			switch random.IntN(6) {
			case 0, 1:
				for range random.IntN(4) {
					seq++
					fatal(t, o.push([]byte(presence), queued{seq: seq}, 0))
				}
			case 2, 3:
				if !o.current.empty() || o.take() {
					n := len(o.current.items)
					if random.IntN(4) == 0 {
						n = random.IntN(n + 1)
					}
					base, on := w.count(len(o.current.items))
					for _, it := range o.current.items[:n] {
						sent[it.seq]++
					}
					if on {
						o.keep(base, n)
					} else {
						o.delivered(&o.current, 0, n, audit.Written)
						written := o.current.shift(n)
						written.reset()
					}
				}
			case 4:
				taken, on := w.account()
				if left := w.acks.sent - taken; on {
					if e := w.answered(uint32(taken + random.Uint64N(left+1))); e != nil {
						t.Fatal(e)
					}
				}
				o.acknowledged(w)
			case 5:
				if random.IntN(8) == 0 {
					w.refused()
					o.acknowledged(w)
				}
				if random.IntN(3) == 0 {
					o.takeBack(w)
					w = newWriterFor(o)
				}
			}
		}
		o.takeBack(w)
		o.takeBack(w)
		o.end(&Failure{Step: StepStream, Err: io.EOF})
		settled := record.outcomes()
		for n := uint64(1); n <= seq; n++ {
			if len(settled[n]) != 1 || sent[n] > 2 {
				t.Fatalf("seed %d: stanza %d was sent %d times and settled as %v", seed, n, sent[n], settled[n])
			}
			if settled[n][0] == audit.Acked && sent[n] == 0 {
				t.Fatalf("seed %d: stanza %d was never sent and is acked", seed, n)
			}
		}
		if held := o.p.router.held.Load(); held != 0 || o.kept != 0 || o.keptBytes != 0 {
			t.Fatalf("seed %d: %d bytes are held, %d stanzas and %d bytes are kept", seed, held, o.kept, o.keptBytes)
		}
	}
}

// newWriterFor is the writer of a stream that nobody reads, with acknowledgements on.
func newWriterFor(o *outbound) *writer {
	w := &writer{p: o.p, done: make(chan struct{}), links: map[*outbound]struct{}{o: {}}}
	w.acks.on = true
	return w
}

// [M05]: counts have 32 bits and go round; what is more than was sent, or less than before, is no count.
func TestAckCounts(t *testing.T) {
	t.Parallel()
	const round = 1 << 32
	for name, test := range map[string]struct {
		sent, taken uint64
		handled     uint32
		want        uint64
		fault       bool
	}{
		"none":                        {5, 0, 0, 0, false},
		"some":                        {5, 0, 3, 3, false},
		"all":                         {5, 3, 5, 5, false},
		"the same again":              {5, 3, 3, 3, false},
		"too many":                    {5, 3, 6, 3, true},
		"back":                        {5, 3, 2, 3, true},
		"nothing sent":                {0, 0, 1, 0, true},
		"over the top":                {round + 5, round - 2, 3, round + 3, false},
		"to the top":                  {round, round - 1, 0, round, false},
		"over the top and too many":   {round + 5, round - 2, 6, round - 2, true},
		"a long way back, in a round": {3*round + 1, 3 * round, 0, 3 * round, false},
	} {
		o, _ := newLink(t)
		w := newWriterFor(o)
		w.acks.sent, w.acks.taken = test.sent, test.taken
		e := w.answered(test.handled)
		if taken, _ := w.account(); taken != test.want || (e != nil) != test.fault {
			t.Errorf("%s: %d of %d are taken, want %d; %v", name, taken, test.sent, test.want, e)
		}
	}
}

// An <r/> goes out when there is something to ask for, and not before the last one was answered.
func TestAsksOnce(t *testing.T) {
	t.Parallel()
	o, _ := newLink(t)
	w := newWriterFor(o)
	defer w.acks.rest()
	if w.asks() {
		t.Error("it asks before anything was sent")
	}
	w.count(2)
	if !w.asks() || w.asks() {
		t.Error("it does not ask once")
	}
	w.count(1)
	w.answered(2)
	if !w.asks() {
		t.Error("it does not ask for what was sent behind the question")
	}
	w.answered(3)
	if w.asks() {
		t.Error("it asks for what it knows")
	}
	w.count(1)
	w.refused()
	if w.asks() {
		t.Error("it asks a peer that refused")
	}
}

// far is a receiving server on a pipe.
type far struct {
	net.Conn
	t *testing.T
}

// hears waits for the gate to write some text.
func (f far) hears(want string) {
	f.t.Helper()
	b := make([]byte, len(want))
	n, err := io.ReadFull(f.Conn, b)
	if string(b[:n]) != want {
		f.t.Errorf("the peer hears %q (%v), want %q", b[:n], err, want)
	}
}

func (f far) says(text string) { io.WriteString(f.Conn, text) }

// standing is a link whose stream stands, over a pipe. The far side has sent its features.
func standing(t *testing.T) (*outbound, *notes, *stream.Stream, far) {
	t.Helper()
	o, record := newLink(t)
	near, away := net.Pipe()
	t.Cleanup(func() { near.Close(); away.Close() })
	f := far{away, t}
	go func() {
		b := make([]byte, 4096)
		for !bytes.HasSuffix(b, []byte("'1.0'>")) {
			n, err := away.Read(b[:4096])
			if err != nil {
				return
			}
			b = b[:n]
		}
		f.says("<stream:stream xmlns='jabber:server' xmlns:stream='http://etherx.jabber.org/streams' from='remote.example' to='corp.example' id='r1' version='1.0'>" +
			"<stream:features><sm xmlns='urn:xmpp:sm:3'/></stream:features>")
	}()
	s, err := stream.Initiate(t.Context(), near, streamConfig(o.p.now().Limits, Outside, o.log), o.r.from(), o.r.to())
	fatal(t, err)
	o.facts.Store(&policy.LinkFacts{})
	o.s.Store(s)
	return o, record, s, f
}

// A peer that does not answer an <r/> has limits.ack, from each question on; then the stream ends, and what it did not acknowledge
// waits for the next one, which does without ([M06], [C23]).
func TestAckTimeout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o, record, s, f := standing(t)
		var pumped sync.WaitGroup
		var err error
		begun := time.Now()
		pumped.Go(func() { err = o.pump(&connection{s: s}) })
		f.hears("<enable xmlns='urn:xmpp:sm:3'/>")
		for i := range 3 {
			fatal(t, o.push([]byte(presence), queued{seq: uint64(i + 1)}, 0))
			o.nudge()
			f.hears(presence + "<r xmlns='urn:xmpp:sm:3'/>")
			if i < 2 {
				time.Sleep(29 * time.Second)
				f.says(fmt.Sprintf("<a xmlns='urn:xmpp:sm:3' h='%d'/>", i+1))
				synctest.Wait()
			}
		}
		const last = "<stream:error><connection-timeout xmlns='urn:ietf:params:xml:ns:xmpp-streams'/><text xmlns='urn:ietf:params:xml:ns:xmpp-streams' xml:lang='en'>no answer to &lt;r/&gt;</text></stream:error></stream:stream>"
		f.hears(last)
		if took := time.Since(begun); took != 88*time.Second {
			t.Errorf("the stream ended after %s, want 88s", took)
		}
		f.Close()
		pumped.Wait()
		if err == nil || !strings.Contains(err.Error(), "limits.ack") {
			t.Errorf("the link ends with %v", err)
		}
		if len(o.current.items) != 1 || !o.current.items[0].again || !o.unaware {
			t.Errorf("%d stanzas wait for the next stream, %+v; unaware: %t", len(o.current.items), o.current.items, o.unaware)
		}
		if got := record.outcomes(); len(got) != 2 || got[1][0] != audit.Acked || got[2][0] != audit.Acked {
			t.Errorf("the record has %v", got)
		}
	})
}

// A stream that we end gives the peer a moment to acknowledge, and takes its last word.
func TestLastCall(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]string{
		"in time":          "<a xmlns='urn:xmpp:sm:3' h='1'/>",
		"with the end":     "",
		"not at all":       " ",
		"as it says so":    "</stream:stream>",
		"with an error":    "<stream:error><reset xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error></stream:stream>",
		"with its last ok": "<a xmlns='urn:xmpp:sm:3' h='1'/></stream:stream>",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				o, record, s, f := standing(t)
				fatal(t, o.push([]byte(presence), queued{seq: 1}, 0))
				var pumped sync.WaitGroup
				pumped.Go(func() { o.pump(&connection{s: s}) })
				f.hears("<enable xmlns='urn:xmpp:sm:3'/>" + presence + "<r xmlns='urn:xmpp:sm:3'/>")
				begun := time.Now()
				o.renew(io.EOF)
				synctest.Wait()
				f.says(answer)
				go func() {
					rest, _ := io.ReadAll(f)
					if !bytes.HasSuffix(rest, []byte("</stream:stream>")) {
						t.Errorf("the stream ends with %q", rest)
					}
				}()
				if answer == "" {
					time.Sleep(1100 * time.Millisecond)
					f.says("<a xmlns='urn:xmpp:sm:3' h='1'/></stream:stream>")
				}
				pumped.Wait()
				acked := answer == "" || strings.Contains(answer, "<a ")
				if got := record.outcomes(); (len(got) == 1) != acked || len(o.current.items) == 1 == acked {
					t.Errorf("the record has %v, and %d stanzas wait for the next stream", got, len(o.current.items))
				}
				if took := time.Since(begun); took > 3*time.Second {
					t.Errorf("the end took %s", took)
				}
			})
		})
	}
}

// A link that never runs out of stanzas leaves its stream like any other, when what proves the peer holds no longer ([C28]).
func TestBusyLinkLeaves(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o, _, s, f := standing(t)
		var pumped sync.WaitGroup
		pumped.Go(func() { o.pump(&connection{s: s}) })
		f.hears("<enable xmlns='urn:xmpp:sm:3'/>")
		for i := range 2 { // the first is being written, since the peer does not read; the second waits
			fatal(t, o.push([]byte(presence), queued{seq: uint64(i + 1)}, 0))
			o.nudge()
			synctest.Wait()
		}
		o.renew(io.EOF)
		rest, _ := io.ReadAll(f)
		pumped.Wait()
		if n := bytes.Count(rest, []byte(presence)); n != 1 {
			t.Errorf("%d stanzas leave on a stream that is to end: %q", n, rest)
		}
	})
}

// The question for acknowledgements is the stream's: what could not be written goes to the next one without it, which may have none.
func TestUnwrittenIsWithoutQuestion(t *testing.T) {
	t.Parallel()
	o, _, s, _ := standing(t)
	w := newWriterFor(o)
	w.s = s
	fatal(t, o.push([]byte(presence), queued{seq: 1}, 0))
	o.take()
	s.Abort()
	if err := o.write(w); err == nil || string(o.current.buf) != presence {
		t.Errorf("%v; left is %q", err, o.current.buf)
	}
}

// A peer that reads nothing while it writes is read from nevertheless, and hears afterwards how much we took: two gates that write to each
// other on one stream would wait for each other's answers otherwise, until both give up.
func TestAnsweringDoesNotWaitForWriting(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o, _, s, f := standing(t)
		in := newInbound(o.p, Outside, nil, netip.AddrPort{})
		in.acking.Store(true)
		var writing sync.WaitGroup
		writing.Go(func() { s.Write([]byte(presence)) })
		synctest.Wait()
		for range 3 {
			in.carried.Add(1)
			in.requests++
			fatal(t, in.answerRequests(s))
		}
		f.hears(presence + "<a xmlns='urn:xmpp:sm:3' h='1'/><a xmlns='urn:xmpp:sm:3' h='2'/><a xmlns='urn:xmpp:sm:3' h='3'/>")
		writing.Wait()
	})
}
