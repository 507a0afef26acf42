package peer

import (
	"context"
	"crypto/subtle"
	"fmt"
	"strings"
	"time"
)

// verifyTime is how long a server waits for the verdict on a key that it was shown.
const verifyTime = 20 * time.Second

func (q question) xml() string {
	return fmt.Sprintf("<db:verify from='%s' to='%s' id='%s'>%s</db:verify>", escape(q.Pair.Local), escape(q.Pair.Remote), escape(q.ID), escape(q.key))
}

// verify asks the authoritative server of q.Pair.Remote about a key: "valid", "invalid" or "error", or an error of our own.
func (s *Server) verify(q question) (verdict string, err error) {
	ctx, cancel := context.WithTimeout(s.ctx, verifyTime)
	defer cancel()
	if s.separate {
		return s.verifySeparately(ctx, q)
	}
	return s.link(q.Pair).ask(ctx, q)
}

// verifySeparately opens a stream for one question.
func (s *Server) verifySeparately(ctx context.Context, q question) (string, error) {
	w, err := s.connect(ctx, q.Pair)
	if err != nil {
		return "", err
	}
	defer s.attend(w)()
	defer func() { w.close(nil) }()
	if err := w.write(q.xml()); err != nil {
		return "", err
	}
	for {
		el, err := w.next()
		if err != nil {
			return "", err
		}
		if el.is(nsDialback, "verify") && el.attr("from") == q.Pair.Remote && el.attr("to") == q.Pair.Local && el.attr("id") == q.ID {
			return el.attr("type"), nil
		}
	}
}

// ask puts a question on the link, behind our own db:result if that is still to come.
func (l *Link) ask(ctx context.Context, q question) (string, error) {
	verdict := make(chan string, 1)
	known := q
	known.key = ""
	l.mu.Lock()
	l.asked[known] = verdict
	var err error
	if l.state == dialling {
		l.questions = append(l.questions, q)
	} else {
		err = l.wire.write(q.xml())
	}
	l.mu.Unlock()
	if err != nil {
		return "", err
	}
	select {
	case v := <-verdict:
		return v, nil
	case <-l.down:
		return "", l.err
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

// answered passes a verdict to who asked. One that nobody asked for is dropped, XEP-0220 §3.1.
func (l *Link) answered(q question, verdict string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if waiting, ok := l.asked[q]; ok {
		waiting <- verdict
		delete(l.asked, q)
	}
}

// judge answers a question about a key of ours. It needs no memory: the key is computed again.
func (s *Server) judge(el *element) string {
	from, to, id := el.attr("from"), el.attr("to"), el.attr("id")
	verdict, inner := "invalid", ""
	want := s.key(challenge{Receiving: from, Originating: to, ID: id})
	switch {
	case !s.hosts(to):
		verdict, inner = "error", "<error type='cancel'><item-not-found xmlns='"+nsStanzas+"'/></error>"
	case subtle.ConstantTimeCompare([]byte(want), []byte(strings.TrimSpace(el.Text))) == 1:
		verdict = "valid"
	}
	return fmt.Sprintf("<db:verify from='%s' to='%s' id='%s' type='%s'>%s</db:verify>", escape(to), escape(from), escape(id), verdict, inner)
}
