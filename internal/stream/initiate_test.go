package stream

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"sallyport/internal/stanza"
)

func TestInitiateReadsTheAnswer(t *testing.T) {
	t.Parallel()
	for _, v := range []struct {
		name, answer string
		id           string
		want         Header
		features     int // children of the features; -1 for none
	}{
		{"W3", "H(from='remote.example' to='corp.example' id='r1' version='1.0')F[<starttls xmlns=tls/><x xmlns='y'/>]", "r1",
			Header{From: remote, To: corp, ID: "r1", Version: Version{1, 0}, Dialback: true}, 2},
		{"[L02]: jabberd 1.4 has an id and nothing else", "H(id='r1')", "r1", Header{ID: "r1", Dialback: true}, -1},
		{"[L60]: no dialback namespace, no from", "<stream:stream xmlns='jabber:server' xmlns:stream='http://etherx.jabber.org/streams' id='X'>", "X", Header{ID: "X"}, -1},
		{"[B11]: no id", "H(from='remote.example' version='1.0')F[]", "", Header{From: remote, Version: Version{1, 0}, Dialback: true}, 0},
		{"[B15]: empty features in one tag", "H(id='r1' version='1.0')<stream:features/>", "r1", Header{ID: "r1", Version: Version{1, 0}, Dialback: true}, 0},
		{"[C22]: white space before the features", "H(id='r1' version='1.0')&lf;&white;<stream:features/>", "r1", Header{ID: "r1", Version: Version{1, 0}, Dialback: true}, 0},
		{"[C04]: other prefixes", "<s:stream xmlns:s='http://etherx.jabber.org/streams' xmlns='jabber:server' id='r1' version='1.0'><s:features/>", "r1", Header{ID: "r1", Version: Version{1, 0}}, 0},
	} {
		t.Run(v.name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, `
				P> H(from='corp.example' to='remote.example' xml:lang='en' version='1.0')
				R> `+v.answer,
				func(t *testing.T, conn net.Conn) {
					s, err := Initiate(t.Context(), conn, strict, corp, remote)
					if err != nil {
						t.Fatal(err)
					}
					if s.PeerHeader() != v.want || s.ID() != v.id || s.Local() != corp || s.Remote() != v.want.From {
						t.Errorf("id %q, local %s, remote %s, header %+v", s.ID(), s.Local(), s.Remote(), s.PeerHeader())
					}
					switch f := s.Features(); {
					case v.features < 0 && f != nil, v.features >= 0 && (f == nil || len(f.Children) != v.features):
						t.Errorf("the features are %+v, want %d of them", f, v.features)
					}
				})
		})
	}
}

func TestInitiateFails(t *testing.T) {
	t.Parallel()
	for _, v := range []struct{ name, answer, want string }{
		{"W9: host-unknown", "H(from='x.example' id='r1' version='1.0')<stream:error><host-unknown xmlns=streams/></stream:error></>", "host-unknown"},
		{"a client server", "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' id='r1' version='1.0'>", "invalid-namespace"},
		{"a web server", "HTTP/1.1 400 Bad Request", "not-well-formed"},
		{"an SMTP server", "220 mail.remote.example", "not-well-formed"},
		{"an error without a header", "<stream:error>", "not-well-formed"},
		{"an id for a book", "H(id='" + strings.Repeat("x", maxID+1) + "')", "stream id"},
		{"nothing but the end", "H(id='r1' version='1.0')</>", ErrClosed.Error()},
	} {
		t.Run(v.name, func(t *testing.T) {
			t.Parallel()
			near, away := pipe(t)
			go func() {
				f := &far{conn: away}
				if f.hear(shorthand.Replace("H(from='corp.example' to='remote.example' xml:lang='en' version='1.0')")) == nil {
					away.Write([]byte(shorthand.Replace(v.answer)))
				}
				drain(away)
			}()
			s, err := Initiate(t.Context(), near, strict, corp, remote)
			if s != nil || err == nil || !strings.Contains(err.Error(), v.want) {
				t.Errorf("Initiate: %v, want %q", err, v.want)
			}
			if _, err := near.Write([]byte("x")); err == nil {
				t.Error("the connection is still open")
			}
		})
	}
}

// drain reads until the end and then ends as well, as a peer does.
func drain(conn net.Conn) {
	for b := make([]byte, 512); ; {
		if _, err := conn.Read(b); err != nil {
			conn.Close()
			return
		}
	}
}

func TestInitiateHonoursItsContext(t *testing.T) {
	t.Parallel()
	for _, v := range []struct{ name, script string }{
		{"nobody reads", ""},
		{"nobody answers", "P> H(from='corp.example' to='remote.example' xml:lang='en' version='1.0')"},
		{"features are late", "P> H(from='corp.example' to='remote.example' xml:lang='en' version='1.0')\nR> H(id='r1' version='1.0')"},
	} {
		for _, cancelled := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, cancelled %v", v.name, cancelled), func(t *testing.T) {
				t.Parallel()
				inBubble(t, v.script, func(t *testing.T, conn net.Conn) {
					ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
					defer cancel()
					want := context.DeadlineExceeded
					if cancelled {
						time.AfterFunc(19*time.Second, cancel)
						want = context.Canceled
					}
					begun := time.Now()
					_, err := Initiate(ctx, conn, strict, corp, remote)
					if took := time.Since(begun); !errors.Is(err, want) || took > 20*time.Second {
						t.Errorf("%v after %v, want %v", err, took, want)
					}
					if cancelled == isTimeout(err) {
						t.Errorf("%v is taken for a time-out: %v", err, isTimeout(err))
					}
				})
			})
		}
	}
}

// [B15]: features that come behind something else are taken in when they come, and hide nothing.
func TestLateFeatures(t *testing.T) {
	t.Parallel()
	inBubble(t, `
		P> H(from='corp.example' to='remote.example' xml:lang='en' version='1.0')
		R> H(id='r1' version='1.0')<x xmlns='early'/>F[<dialback xmlns='urn:xmpp:features:dialback'/>]<x xmlns='late'/>`,
		func(t *testing.T, conn net.Conn) {
			s, err := Initiate(t.Context(), conn, Config{}, corp, remote)
			if err != nil {
				t.Fatal(err)
			}
			must(t, s, "early", "x")
			must(t, s, "late", "x")
			if !s.FeatureDialback() || s.FeatureDialbackErrors() {
				t.Errorf("the features are %+v", s.Features())
			}
		})
}

func TestFeatures(t *testing.T) {
	t.Parallel()
	const mechanisms = "<mechanisms xmlns=sasl>"
	for _, v := range []struct {
		features                                  string
		tls, required, dialback, errors, external bool
	}{
		{features: ""},
		{features: "<starttls xmlns=tls/>", tls: true},
		{features: "<starttls xmlns=tls><required/></starttls>", tls: true, required: true},
		{features: "<starttls xmlns='other'/>"},
		{features: "<dialback xmlns='urn:xmpp:features:dialback'/>", dialback: true},
		{features: "<dialback xmlns='urn:xmpp:features:dialback'><errors/></dialback>", dialback: true, errors: true},
		{features: "<dialback xmlns='urn:xmpp:features:dialback'><errors xmlns='other'/></dialback>", dialback: true},
		{features: mechanisms + "<mechanism>EXTERNAL</mechanism></mechanisms>", external: true},
		{features: mechanisms + "<mechanism>PLAIN</mechanism><mechanism> EXTERNAL </mechanism></mechanisms>", external: true},
		{features: mechanisms + "<mechanism>EXTERNAL-PLUS</mechanism></mechanisms>"},
		{features: mechanisms + "</mechanisms>"}, // [S02]
		{features: string(AppendExternalFeature(AppendDialbackFeature(AppendStartTLSFeature(nil, false), true))), tls: true, dialback: true, errors: true, external: true},
	} {
		el, err := stanza.ParseOne([]byte(strings.Replace(shorthand.Replace("F["+v.features+"]"), "<stream:features", "<stream:features xmlns:stream='"+nsStream+"'", 1)), stanza.DefaultLimits())
		if err != nil {
			t.Errorf("%s: %v", v.features, err)
			continue
		}
		s := &Stream{}
		s.now.Store(&facts{})
		s.offered(el.Tree())
		tls, required := s.FeatureStartTLS()
		if tls != v.tls || required != v.required || s.FeatureDialback() != v.dialback || s.FeatureDialbackErrors() != v.errors || s.FeatureExternal() != v.external {
			t.Errorf("%s: TLS %v, required %v, dialback %v, errors %v, EXTERNAL %v", v.features, tls, required, s.FeatureDialback(), s.FeatureDialbackErrors(), s.FeatureExternal())
		}
	}
}
