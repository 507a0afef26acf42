package peer

import (
	"cmp"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"time"
)

// inbound is a stream that another server opened to us.
type inbound struct {
	s  *Server
	w  *wire
	id string // of our newest header

	asking sync.WaitGroup // verifications under way

	mu     sync.Mutex
	proved map[Pair]bool
}

// errTaken ends the reading of a stream whose connection went to Hooks.Take.
var errTaken = errors.New("the connection was handed over")

// receive is the life of an inbound stream.
func (s *Server) receive(conn net.Conn) {
	conn.SetDeadline(time.Now().Add(setupTime))
	in := &inbound{s: s, w: newWire(conn), proved: make(map[Pair]bool)}
	defer s.attend(in.w)()
	err := in.open()
	for err == nil {
		var el *element
		if el, err = in.w.next(); err == nil {
			err = in.handle(el)
		}
	}
	in.w.close(err)
	in.asking.Wait()
	in.mu.Lock()
	defer in.mu.Unlock()
	for p := range in.proved {
		s.hooks.Watch(LinkEvent{Pair: p, Inbound: true, Err: err})
	}
}

// open reads a header and answers it with ours, and with features where the caller speaks XMPP 1.0, RFC 6120 §4.3.2.
func (in *inbound) open() error {
	fault := in.w.readHeader()
	h := in.w.peer
	in.id = randomID()
	answer := header{ID: in.id, Version: in.s.version && h.Version}
	if in.s.named {
		answer.From, answer.To = cmp.Or(h.To, in.s.domains[0]), h.From
	}
	reply := headerTag(answer)
	if fault == nil && h.To != "" && !in.s.hosts(h.To) {
		fault = &StreamError{Condition: "host-unknown", Text: h.To + " is not served here"}
	}
	if fault == nil && answer.Version {
		reply += in.offers()
	}
	return cmp.Or(in.w.write(reply), fault)
}

// offers are our features: before TLS nothing but TLS, then EXTERNAL for whom it will work, and dialback.
func (in *inbound) offers() string {
	state := in.w.tls()
	switch {
	case in.s.tls == nil:
		return "<stream:features><dialback xmlns='urn:xmpp:features:dialback'/></stream:features>"
	case state == nil:
		return "<stream:features><starttls xmlns='" + nsTLS + "'><required/></starttls></stream:features>"
	case in.s.external && !in.isProved(Pair{Local: in.w.peer.To, Remote: in.w.peer.From}) && in.s.tls.vouched(state, in.w.peer.From) == nil:
		return "<stream:features><mechanisms xmlns='" + nsSASL + "'><mechanism>EXTERNAL</mechanism></mechanisms>" +
			"<dialback xmlns='urn:xmpp:features:dialback'><errors/></dialback></stream:features>"
	}
	return "<stream:features><dialback xmlns='urn:xmpp:features:dialback'><errors/></dialback></stream:features>"
}

// handle takes one element. Answers of dialback, which nobody asked for on this stream, and what is unknown are passed over.
func (in *inbound) handle(el *element) error {
	switch {
	case el.is(nsTLS, "starttls"):
		return in.startTLS()
	case in.s.tls != nil && in.w.tls() == nil:
		return &StreamError{Condition: "policy-violation", Text: "TLS is required"}
	case el.is(nsSASL, "auth"):
		return in.external(el)
	case el.is(nsDialback, "verify") && el.attr("type") == "":
		return in.w.write(in.s.judge(el))
	case el.is(nsDialback, "result") && el.attr("type") == "":
		return in.result(el)
	case isStanza(el):
		return in.stanza(parseStanza(el))
	}
	return nil
}

// startTLS is the receiving side of RFC 6120 §5.4.
func (in *inbound) startTLS() error {
	if in.s.tls == nil || in.w.tls() != nil {
		return errors.Join(in.w.write("<failure xmlns='"+nsTLS+"'/>"), errors.New("TLS was asked for where there is none"))
	}
	if err := in.w.write("<proceed xmlns='" + nsTLS + "'/>"); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(in.s.ctx, setupTime)
	defer cancel()
	if err := in.w.secure(ctx, func(c net.Conn) *tls.Conn { return tls.Server(c, in.s.tls.server()) }); err != nil {
		return err
	}
	return in.open()
}

// external takes SASL EXTERNAL, XEP-0178 §3: the certificate must be valid for the domain that the header named.
func (in *inbound) external(el *element) error {
	from := in.w.peer.From
	who, err := base64.StdEncoding.DecodeString(el.Text)
	named := el.Text == "=" || el.Text == "" || string(who) == from
	if !in.s.external || el.attr("mechanism") != "EXTERNAL" || err != nil && el.Text != "=" || !named || in.s.tls.vouched(in.w.tls(), from) != nil {
		return in.w.write("<failure xmlns='" + nsSASL + "'><not-authorized/></failure>")
	}
	p := Pair{Local: in.w.peer.To, Remote: from}
	if err := in.admit(p); err != nil {
		return err
	}
	if err := in.w.write("<success xmlns='" + nsSASL + "'/>"); err != nil {
		return err
	}
	in.w.restart()
	in.mu.Lock()
	in.proved[p] = true
	in.mu.Unlock()
	if err := in.open(); err != nil {
		return err
	}
	if in.w.peer.From != "" && in.w.peer.From != from {
		return &StreamError{Condition: "invalid-from", Text: "the stream was proved for " + from}
	}
	in.begin(p)
	return nil
}

func (in *inbound) admit(p Pair) error {
	if err := in.s.hooks.Admit(p); err != nil {
		return &StreamError{Condition: "policy-violation", Text: err.Error()}
	}
	return nil
}

// result takes the key of a pair and has it verified, XEP-0220 §2.2. Meanwhile the stream is read on: the other server's own
// questions may be on it, and it waits for their answers.
func (in *inbound) result(el *element) error {
	p := Pair{Local: el.attr("to"), Remote: el.attr("from")}
	if !in.s.hosts(p.Local) {
		return in.w.write(fmt.Sprintf("<db:result from='%s' to='%s' type='error'><error type='cancel'><item-not-found xmlns='%s'/></error></db:result>",
			escape(p.Local), escape(p.Remote), nsStanzas))
	}
	if err := in.admit(p); err != nil {
		return err
	}
	q := question{Pair: p, ID: in.id, key: el.Text}
	in.asking.Go(func() {
		if err := in.settle(q); err != nil {
			in.w.end(err)
		}
	})
	return nil
}

// settle asks about a key and tells the result.
func (in *inbound) settle(q question) error {
	verdict, err := in.s.verify(q)
	p := q.Pair
	switch {
	case err == nil && verdict == "valid":
		in.mu.Lock()
		in.proved[p] = true
		in.mu.Unlock()
		in.begin(p)
		return in.w.write(resultTag(p, "valid", ""))
	case err == nil && verdict == "invalid":
		return cmp.Or(in.w.write(resultTag(p, "invalid", "")), error(&StreamError{Condition: "not-authorized", Text: "the key is not genuine"}))
	default:
		return in.w.write(resultTag(p, "error", "<error type='cancel'><remote-server-not-found xmlns='"+nsStanzas+"'/></error>"))
	}
}

func resultTag(p Pair, kind, inner string) string {
	return fmt.Sprintf("<db:result from='%s' to='%s' type='%s'>%s</db:result>", escape(p.Local), escape(p.Remote), kind, inner)
}

// begin lifts the deadline of a stream on which a pair was proved.
func (in *inbound) begin(p Pair) {
	in.w.trust()
	in.s.hooks.Watch(LinkEvent{Pair: p, Inbound: true, Up: true})
}

// replayed is a connection that some of what was read from it is put back to.
type replayed struct {
	net.Conn
	r io.Reader
}

func (r replayed) Read(p []byte) (int, error) { return r.r.Read(p) }

func (in *inbound) isProved(p Pair) bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.proved[p] {
		return true
	}
	if in.s.exact {
		return false
	}
	for known := range in.proved {
		if known.Remote == p.Remote && in.s.hosts(p.Local) {
			return true
		}
	}
	return false
}

// stanza takes one of a proved pair. What is not proved is dropped, as RFC 3920 §8.3 has it, or ends the stream, RFC 6120
// §4.9.3.9.
func (in *inbound) stanza(st Stanza) error {
	p := Pair{Local: domainOf(st.To), Remote: domainOf(st.From)}
	switch proved := in.isProved(p); {
	case proved && in.s.hooks.Take != nil:
		in.s.hooks.Take(p, replayed{in.w.conn, io.MultiReader(strings.NewReader(st.XML()), in.w.br)})
		return errTaken
	case proved:
		in.s.deliver(st)
		return nil
	}
	if in.s.silent {
		return nil
	}
	return &StreamError{Condition: "invalid-from", Text: fmt.Sprintf("no proof for %s to %s", p.Remote, p.Local)}
}
