package stream

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"sallyport/internal/jid"
)

func TestAcceptAnswersTheHeader(t *testing.T) {
	t.Parallel()
	for _, v := range []struct {
		name, script string
		want         Header
	}{
		{"W1: a server of today", `
			R> H(from='remote.example' to='corp.example' version='1.0' xml:lang='de')
			P> H(from='corp.example' to='remote.example' id='{a}' xml:lang='en' version='1.0')F[<starttls xmlns=tls><required/></starttls>]`,
			Header{From: remote, To: corp, Lang: "de", Version: Version{1, 0}, Dialback: true}},
		{"W7, [C13]: no version in, no version and no features out", `
			R> H(to='corp.example')
			P> H(from='corp.example' id='{a}' xml:lang='en')`,
			Header{To: corp, Dialback: true}},
		{"[C13]: version 0.9 is none of today", `
			R> H(from='remote.example' to='corp.example' version='0.9')
			P> H(from='corp.example' to='remote.example' id='{a}' xml:lang='en')`,
			Header{From: remote, To: corp, Version: Version{0, 9}, Dialback: true}},
		{"[C08], [L10]: neither from nor to", `
			R> H()
			P> H(from='corp.example' id='{a}' xml:lang='en')`,
			Header{Dialback: true}},
		{"[L10]: empty from and to", `
			R> H(from='' to='')
			P> H(from='corp.example' id='{a}' xml:lang='en')`,
			Header{Dialback: true}},
		{"[C12]: versions are numbers, and ours is the lesser", `
			R> H(from='remote.example' to='corp.example' version='1.10')
			P> H(from='corp.example' to='remote.example' id='{a}' xml:lang='en' version='1.0')F[<starttls xmlns=tls><required/></starttls>]`,
			Header{From: remote, To: corp, Version: Version{1, 10}, Dialback: true}},
		{"[C12]: a major version that is to come", `
			R> H(from='remote.example' to='corp.example' version='10.0')
			P> H(from='corp.example' to='remote.example' id='{a}' xml:lang='en' version='1.0')F[<starttls xmlns=tls><required/></starttls>]`,
			Header{From: remote, To: corp, Version: Version{10, 0}, Dialback: true}},
		{"[C09]: an id in the request means nothing", `
			R> H(from='remote.example' to='corp.example' id='00000000000000000000000000000000')
			P> H(from='corp.example' to='remote.example' id='{a}' xml:lang='en')`,
			Header{From: remote, To: corp, ID: "00000000000000000000000000000000", Dialback: true}},
		{"[A06]: domains are answered in canonical form", `
			R> H(from='Remote.EXAMPLE.' to='CORP.example')
			P> H(from='corp.example' to='remote.example' id='{a}' xml:lang='en')`,
			Header{From: remote, To: corp, Dialback: true}},
		{"[C04]: the stream namespace as the default", `
			R> <stream xmlns='http://etherx.jabber.org/streams' from='remote.example' to='corp.example'>
			P> H(from='corp.example' to='remote.example' id='{a}' xml:lang='en')`,
			Header{From: remote, To: corp}},
		{"[C04]: any prefix", `
			R> <s:stream xmlns:s='http://etherx.jabber.org/streams' xmlns="jabber:server" xmlns:d='jabber:server:dialback' from='remote.example' to='corp.example'>
			P> H(from='corp.example' to='remote.example' id='{a}' xml:lang='en')`,
			Header{From: remote, To: corp, Dialback: true}},
		{"[C07]: a sender of another namespace is none", `
			R> H(xmlns:x='urn:x' x:from='victim.example' from='remote.example' x:to='other.example' to='corp.example' x:version='1.0')
			P> H(from='corp.example' to='remote.example' id='{a}' xml:lang='en')`,
			Header{From: remote, To: corp, Dialback: true}},
		{"[C01]: no XML declaration", `
			R> <stream:stream xmlns='jabber:server' xmlns:stream='http://etherx.jabber.org/streams' to='corp.example'>
			P> H(from='corp.example' id='{a}' xml:lang='en')`,
			Header{To: corp}},
	} {
		t.Run(v.name, func(t *testing.T) {
			t.Parallel()
			conn, finished := scripted(t, v.script)
			s, err := Accept(t.Context(), conn, strict, hostsCorp, offers)
			finished()
			if err != nil {
				t.Fatal(err)
			}
			if got := s.PeerHeader(); got != v.want {
				t.Errorf("the header is read as\n%+v, want\n%+v", got, v.want)
			}
			if s.Remote() != v.want.From || s.Local() != corp || s.TLS() != nil || len(s.ID()) != idLength || s.ID() == v.want.ID {
				t.Errorf("local %s, remote %s, id %q, TLS %v", s.Local(), s.Remote(), s.ID(), s.TLS())
			}
		})
	}
}

func TestAcceptRefusesTheHeader(t *testing.T) {
	t.Parallel()
	longDomain := strings.Repeat("a23456789.", 103) + "example"
	for _, v := range []struct {
		name, script string
		condition    Condition
	}{
		{"W9, [C19]: a domain that is not ours", `
			R> H(from='remote.example' to='other.example' version='1.0')
			P> H(from='corp.example' to='remote.example' id='{a}' xml:lang='en' version='1.0')<stream:error><host-unknown xmlns=streams/></stream:error></>`, HostUnknown},
		{"[C18]: an old server gets its error behind an old header", `
			R> H(to='other.example')
			P> H(from='corp.example' id='{a}' xml:lang='en')<stream:error><host-unknown xmlns=streams/></stream:error></>`, HostUnknown},
		{"[C02]: another root namespace", `
			R> <stream:stream xmlns='jabber:server' xmlns:stream='http://etherx.jabber.org/stream' to='corp.example' version='1.0'>
			P> H(from='corp.example' id='{a}' xml:lang='en' version='1.0')<stream:error><invalid-namespace xmlns=streams/></stream:error></>`, InvalidNamespace},
		{"[C02]: another root element", `
			R> <stream:steam xmlns='jabber:server' xmlns:stream='http://etherx.jabber.org/streams' to='corp.example' version='1.0'>
			P> H(from='corp.example' id='{a}' xml:lang='en' version='1.0')<stream:error><bad-format xmlns=streams/></stream:error></>`, BadFormat},
		{"[C03]: a client", `
			R> <stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' to='corp.example' version='1.0'>
			P> H(from='corp.example' id='{a}' xml:lang='en' version='1.0')<stream:error><invalid-namespace xmlns=streams/></stream:error></>`, InvalidNamespace},
		{"[C03]: a client that knows of servers", `
			R> <stream:stream xmlns='jabber:client' xmlns:x='jabber:server' xmlns:stream='http://etherx.jabber.org/streams' to='corp.example' version='1.0'>
			P> H(from='corp.example' id='{a}' xml:lang='en' version='1.0')<stream:error><invalid-namespace xmlns=streams/></stream:error></>`, InvalidNamespace},
		{"[C03]: a stranger without content namespace", `
			R> <stream:stream xmlns:stream='http://etherx.jabber.org/streams' to='corp.example' version='1.0'>
			P> H(from='corp.example' id='{a}' xml:lang='en' version='1.0')<stream:error><invalid-namespace xmlns=streams/></stream:error></>`, InvalidNamespace},
		{"[C12]: a version that is no number", `
			R> H(from='remote.example' to='corp.example' version='1')
			P> H(from='corp.example' to='remote.example' id='{a}' xml:lang='en' version='1.0')<stream:error><unsupported-version xmlns=streams/></stream:error></>`, UnsupportedVersion},
		{"[C12]: a version beyond all numbers", `
			R> H(from='remote.example' to='corp.example' version='99999999999999999999.0')
			P> H(from='corp.example' to='remote.example' id='{a}' xml:lang='en' version='1.0')<stream:error><unsupported-version xmlns=streams/></stream:error></>`, UnsupportedVersion},
		{"ABUSE 36: to is too long for a domain", `
			R> H(from='remote.example' to='` + longDomain + `' version='1.0')
			P> H(from='corp.example' to='remote.example' id='{a}' xml:lang='en' version='1.0')<stream:error><improper-addressing xmlns=streams/></stream:error></>`, ImproperAddressing},
		{"ABUSE 35: from is a user", `
			R> H(from='user@remote.example' to='corp.example' version='1.0')
			P> H(from='corp.example' id='{a}' xml:lang='en' version='1.0')<stream:error><improper-addressing xmlns=streams/></stream:error></>`, ImproperAddressing},
		{"[X03]: two senders", `
			R> H(from='remote.example' to='corp.example' version='1.0' from='victim.example')
			P> H(from='corp.example' id='{a}' xml:lang='en' version='1.0')<stream:error><not-well-formed xmlns=streams/></stream:error></>`, NotWellFormed},
		{"[X03]: a prefix without meaning", `
			R> H(x:from='remote.example' to='corp.example' version='1.0')
			P> H(from='corp.example' id='{a}' xml:lang='en' version='1.0')<stream:error><not-well-formed xmlns=streams/></stream:error></>`, NotWellFormed},
		{"[X01]: a DTD", `
			R> <?xml version='1.0'?><!DOCTYPE
			P> H(from='corp.example' id='{a}' xml:lang='en' version='1.0')<stream:error><restricted-xml xmlns=streams/></stream:error></>`, RestrictedXML},
		{"[X03]: not XML, but HTTP", `
			R> GET
			P> H(from='corp.example' id='{a}' xml:lang='en' version='1.0')<stream:error><not-well-formed xmlns=streams/></stream:error></>`, NotWellFormed},
		{"[X04]: another encoding", `
			R> <?xml version='1.0' encoding='ISO-8859-1'?>
			P> H(from='corp.example' id='{a}' xml:lang='en' version='1.0')<stream:error><unsupported-encoding xmlns=streams/></stream:error></>`, UnsupportedEncoding},
	} {
		t.Run(v.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				conn, finished := scripted(t, v.script+"\nP> EOF")
				s, err := Accept(t.Context(), conn, strict, hostsCorp, offers)
				finished()
				if s != nil || !errors.Is(err, v.condition) {
					t.Errorf("Accept gave %v and %v, want %s", s, err, v.condition)
				}
			})
		})
	}
}

func TestAcceptInsideBearsMore(t *testing.T) {
	t.Parallel()
	conn, finished := scripted(t, `
		R> <stream:stream xmlns:stream='http://etherx.jabber.org/streams'>
		P> H(id='{a}' xml:lang='en')`)
	everybody := func(to, from jid.Domain) (jid.Domain, error) { return to, nil }
	if _, err := Accept(t.Context(), conn, Config{}, everybody, offers); err != nil {
		t.Errorf("[C08]: an old server inside is refused: %v", err)
	}
	finished()
}

func TestAcceptHidesWhyItCannotAnswer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		conn, finished := scripted(t, `
			R> H(from='remote.example' to='corp.example' version='1.0')
			P> H(to='remote.example' id='{a}' xml:lang='en' version='1.0')<stream:error><internal-server-error xmlns=streams/></stream:error></>
			P> EOF`)
		_, err := Accept(t.Context(), conn, strict, func(to, from jid.Domain) (jid.Domain, error) {
			return jid.Domain{}, errors.New("the secret reason")
		}, offers)
		finished()
		if !errors.Is(err, InternalServerError) || !strings.Contains(err.Error(), "the secret reason") {
			t.Errorf("the operator is told %v", err)
		}
	})
}

// ABUSE 42, [C31]: whoever is slow is told so, and is cut off in time.
func TestAcceptTimesOut(t *testing.T) {
	t.Parallel()
	for name, said := range map[string]string{"silence": "", "half a header": "R> <stream:stream xmlns='jabber:server'", "a declaration": "R> <?xml version='1.0'?>"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				conn, finished := scripted(t, said+`
					P> H(id='{a}' xml:lang='en' version='1.0')<stream:error><connection-timeout xmlns=streams/></stream:error></>
					P> EOF`)
				ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
				defer cancel()
				begun := time.Now()
				_, err := Accept(ctx, conn, strict, hostsCorp, offers)
				finished()
				if !errors.Is(err, ConnectionTimeout) || !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("got %v, want connection-timeout for the deadline", err)
				}
				if took := time.Since(begun); took < 30*time.Second || took > 30*time.Second+linger {
					t.Errorf("it took %v", took)
				}
			})
		})
	}
}

func TestAcceptSlowLoris(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		near, far := pipe(t)
		over := make(chan struct{})
		defer close(over)
		go func() {
			drip := time.NewTicker(10 * time.Second)
			defer drip.Stop()
			for _, err := far.Write([]byte("<stream:stream a")); err == nil; _, err = far.Write([]byte("a")) {
				select {
				case <-drip.C:
				case <-over:
					return
				}
			}
		}()
		go io.Copy(io.Discard, far)
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		begun := time.Now()
		_, err := Accept(ctx, near, strict, hostsCorp, offers)
		if !errors.Is(err, ConnectionTimeout) || time.Since(begun) > 30*time.Second+linger {
			t.Errorf("ABUSE 42: %v after %v", err, time.Since(begun))
		}
	})
}

func TestAcceptIsCancelled(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		conn, finished := scripted(t, "P> EOF")
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		_, err := Accept(ctx, conn, strict, hostsCorp, offers)
		finished()
		if !errors.Is(err, context.Canceled) || condition(err) != "" {
			t.Errorf("got %v, want that it was cancelled", err)
		}
	})
}

func TestAcceptOfSomebodyWhoLeaves(t *testing.T) {
	t.Parallel()
	for name, v := range map[string]struct {
		said string
		want error
	}{
		"at once":           {"R> EOF", io.EOF},
		"within the header": {"R> <stream:stream xmlns=\nR> EOF", io.ErrUnexpectedEOF},
	} {
		conn, finished := scripted(t, v.said)
		_, err := Accept(t.Context(), conn, strict, hostsCorp, offers)
		finished()
		if !errors.Is(err, v.want) || condition(err) != "" {
			t.Errorf("%s: got %v, want %v", name, err, v.want)
		}
	}
}

// ABUSE 26, [X09]: the header is bounded, with no room for the endless.
func TestAcceptBoundsTheHeader(t *testing.T) {
	t.Parallel()
	near, far := pipe(t)
	sent := 0
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		for b := []byte("<stream:stream xmlns='"); ; b = []byte(strings.Repeat("a", 512)) {
			n, err := far.Write(b)
			if sent += n; err != nil {
				return
			}
		}
	}()
	go io.Copy(io.Discard, far)
	_, err := Accept(t.Context(), near, strict, hostsCorp, offers)
	far.Close()
	<-gone
	if !errors.Is(err, PolicyViolation) {
		t.Errorf("an endless header ends with %v, want policy-violation", err)
	}
}
