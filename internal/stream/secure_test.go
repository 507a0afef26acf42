package stream

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"sallyport/internal/jid"
)

// inBubble plays a script against what takes our part, with time that only passes when all wait.
func inBubble(t *testing.T, script string, ours func(t *testing.T, conn net.Conn)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		conn, finished := scripted(t, script)
		ours(t, conn)
		finished()
		conn.Close()
	})
}

func TestStartTLSBothRoles(t *testing.T) {
	t.Parallel()
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		called, calling := pair(t, strict)
		firstID, features := called.ID(), calling.Features()
		if offered, required := calling.FeatureStartTLS(); !offered || !required || calling.FeatureDialback() {
			t.Errorf("[T01]: the features of the plaintext stream are %+v", features)
		}
		cfg := testTLS().client.Clone()
		cfg.MaxVersion = version
		var server sync.WaitGroup
		server.Go(func() {
			must(t, called, nsTLS, "starttls")
			if err := called.StartTLS(t.Context(), testTLS().server); err != nil {
				t.Error(err)
			}
		})
		if err := calling.ClientTLS(t.Context(), cfg); err != nil {
			t.Fatal(err)
		}
		server.Wait()
		for _, s := range []*Stream{called, calling} {
			if s.TLS() == nil || s.TLS().Version != version || len(s.TLS().PeerCertificates) != 1 {
				t.Errorf("[T04]: the channel is %+v", s.TLS())
			}
		}
		if called.ID() == firstID || called.ID() != calling.ID() {
			t.Errorf("[C10]: the id was %s and is %s here, %s there", firstID, called.ID(), calling.ID())
		}
		if offered, _ := calling.FeatureStartTLS(); offered || !calling.FeatureDialback() || !calling.FeatureDialbackErrors() || calling.FeatureExternal() {
			t.Errorf("[C10]: the features after TLS are %+v", calling.Features())
		}
		said := make(chan string, 1)
		go func() {
			el, err := called.Next()
			if err != nil {
				t.Error(err)
				close(said)
				return
			}
			said <- string(el.Raw())
		}()
		if _, err := calling.Write([]byte("<db:result from='remote.example' to='corp.example'>k</db:result>")); err != nil || !strings.Contains(<-said, ">k<") {
			t.Errorf("nothing can be said over TLS: %v", err)
		}
		called.Abort()
		calling.Abort()
	}
}

// ABUSE 18, [T03]: what comes behind <starttls/> in clear must not be taken for something said over TLS.
func TestStartTLSRefusesPipelinedBytes(t *testing.T) {
	t.Parallel()
	for name, behind := range map[string]string{
		"a stanza":     "<message from='a@remote.example' to='b@corp.example'/>",
		"a header":     "H(from='remote.example' to='corp.example' version='1.0')",
		"a db element": "<db:result from='remote.example' to='corp.example'>k</db:result>",
		"white space":  "&white;", // [C22]
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, `
				R> H(from='remote.example' to='corp.example' version='1.0')
				P> H(from='corp.example' to='remote.example' id='{a}' xml:lang='en' version='1.0')F[<starttls xmlns=tls><required/></starttls>]
				R> <starttls xmlns=tls/>`+behind+`
				P> EOF`,
				func(t *testing.T, conn net.Conn) {
					s, err := Accept(t.Context(), conn, strict, hostsCorp, offers)
					if err != nil {
						t.Fatal(err)
					}
					must(t, s, nsTLS, "starttls")
					if err := s.StartTLS(t.Context(), testTLS().server); err == nil || s.TLS() != nil {
						t.Errorf("StartTLS went on: %v", err)
					}
					if el, err := s.Next(); err == nil {
						t.Errorf("[T03]: %s was parsed", el.Raw())
					}
				})
		})
	}
}

// The same for the server that called: CVE-2011-0411 works in both directions.
func TestClientTLSRefusesWhatIsNotProceed(t *testing.T) {
	t.Parallel()
	for _, v := range []struct{ name, answer, want string }{
		{"ABUSE 18: features behind proceed", "<proceed xmlns=tls/><stream:features/>", "behind <proceed/>"},
		{"[C22]: white space behind proceed", "<proceed xmlns=tls/>&lf;", "behind <proceed/>"},
		{"[C22]: white space before proceed", "&white;<proceed xmlns=tls/>", "white space"},
		{"[T02]: failure", "<failure xmlns=tls/></>", ErrNoTLS.Error()},
		{"another namespace", "<proceed xmlns=sasl/>", "another element"},
		{"an element of dialback", "<db:result from='remote.example' to='corp.example' type='valid'/>", "another element"},
		{"a stanza", "<message/>", ErrStanza.Error()},
		{"a stream error", "<stream:error><policy-violation xmlns=streams/></stream:error></>", "policy-violation"},
		{"the end of the stream", "</>", ErrClosed.Error()},
	} {
		t.Run(v.name, func(t *testing.T) {
			t.Parallel()
			script := `
				P> H(from='corp.example' to='remote.example' xml:lang='en' version='1.0')
				R> H(from='remote.example' to='corp.example' id='r1' version='1.0')F[<starttls xmlns=tls/>]&lf;
				P> <starttls xmlns=tls/>
				R> ` + v.answer + `
				P> EOF`
			inBubble(t, script, func(t *testing.T, conn net.Conn) {
				s, err := Initiate(t.Context(), conn, strict, corp, remote)
				if err != nil {
					t.Fatal(err)
				}
				if err := s.ClientTLS(t.Context(), testTLS().client); err == nil || !strings.Contains(err.Error(), v.want) {
					t.Errorf("ClientTLS: %v, want %q", err, v.want)
				}
				if s.TLS() != nil {
					t.Error("the stream says that it is encrypted")
				}
			})
		})
	}
}

// [T05]: a handshake that fails ends the connection; XML would only be noise in it.
func TestTLSFailureClosesWithoutXML(t *testing.T) {
	t.Parallel()
	const begin = `
		R> H(from='remote.example' to='corp.example' version='1.0')
		P> H(from='corp.example' to='remote.example' id='{a}' xml:lang='en' version='1.0')F[<starttls xmlns=tls><required/></starttls>]
		R> <starttls xmlns=tls/>
		P> <proceed xmlns=tls/>`
	accepted := func(t *testing.T, conn net.Conn) (*Stream, *recorder) {
		wire := &recorder{Conn: conn}
		s, err := Accept(t.Context(), wire, strict, hostsCorp, offers)
		if err != nil {
			t.Fatal(err)
		}
		must(t, s, nsTLS, "starttls")
		return s, wire
	}
	t.Run("no TLS at all", func(t *testing.T) {
		t.Parallel()
		inBubble(t, begin+`
			R> <db:result from='remote.example' to='corp.example'>k</db:result>`,
			func(t *testing.T, conn net.Conn) {
				s, wire := accepted(t, conn)
				err := s.StartTLS(t.Context(), testTLS().server)
				if err == nil || !strings.Contains(err.Error(), "TLS handshake") {
					t.Errorf("StartTLS: %v", err)
				}
				s.Fail(&Error{Condition: PolicyViolation})
				s.Close()
				if _, after, _ := strings.Cut(wire.String(), "<proceed"); strings.Contains(after, "stream") {
					t.Errorf("[T05]: behind <proceed/> came %q", after)
				}
			})
	})
	t.Run("silence", func(t *testing.T) {
		t.Parallel()
		inBubble(t, begin+`
			P> EOF`,
			func(t *testing.T, conn net.Conn) {
				s, wire := accepted(t, conn)
				ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
				defer cancel()
				begun := time.Now()
				err := s.StartTLS(ctx, testTLS().server)
				if !errors.Is(err, context.DeadlineExceeded) || time.Since(begun) != 15*time.Second {
					t.Errorf("StartTLS: %v after %v", err, time.Since(begun))
				}
				if !strings.HasSuffix(wire.String(), "<proceed xmlns='"+nsTLS+"'/>") {
					t.Errorf("[T05]: the last words are %q", wire.String())
				}
			})
	})
	t.Run("ended from elsewhere in the middle", func(t *testing.T) {
		t.Parallel()
		inBubble(t, begin+`
			P> EOF`,
			func(t *testing.T, conn net.Conn) {
				s, wire := accepted(t, conn)
				time.AfterFunc(time.Second, func() { s.Fail(&Error{Condition: SystemShutdown}) })
				if err := s.StartTLS(t.Context(), testTLS().server); err == nil {
					t.Error("the handshake went on")
				}
				if !strings.HasSuffix(wire.String(), "<proceed xmlns='"+nsTLS+"'/>") {
					t.Errorf("[T05]: the last words are %q", wire.String())
				}
			})
	})
}

// [T10], RFC 7590 §3.1: servers that were told to encrypt ask for TLS whatever they are offered, even without a version.
func TestStartTLSUnasked(t *testing.T) {
	t.Parallel()
	inBubble(t, `
		R> H(to='corp.example')
		P> H(from='corp.example' id='{a}' xml:lang='en')
		R> <starttls xmlns=tls/>
		P> <proceed xmlns=tls/>
		R> TLS client
		R> H(from='remote.example' to='corp.example' version='1.0')
		P> H(from='corp.example' to='remote.example' id='{b}' xml:lang='en' version='1.0')F[<dialback xmlns='urn:xmpp:features:dialback'><errors/></dialback>]`,
		func(t *testing.T, conn net.Conn) {
			s, err := Accept(t.Context(), conn, strict, hostsCorp, offers)
			if err != nil {
				t.Fatal(err)
			}
			must(t, s, nsTLS, "starttls")
			if err := s.StartTLS(t.Context(), testTLS().server); err != nil {
				t.Error(err)
			}
		})
	inBubble(t, `
		P> H(from='corp.example' to='remote.example' xml:lang='en' version='1.0')
		R> H(id='old')
		P> <starttls xmlns=tls/>
		R> <proceed xmlns=tls/>
		R> TLS server
		P> H(from='corp.example' to='remote.example' xml:lang='en' version='1.0')
		R> H(id='new')`,
		func(t *testing.T, conn net.Conn) {
			s, err := Initiate(t.Context(), conn, strict, corp, remote)
			if err != nil {
				t.Fatal(err)
			}
			if err := s.ClientTLS(t.Context(), testTLS().client); err != nil || s.ID() != "new" {
				t.Errorf("%v, and the id is %q", err, s.ID())
			}
		})
}

// ABUSE 5, CVE-2018-10847: whoever named a domain in the clear cannot become another one behind TLS.
func TestRestartKeepsNames(t *testing.T) {
	t.Parallel()
	const begin = `
		R> H(%s version='1.0')
		P> H(from='corp.example'%s id='{a}' xml:lang='en' version='1.0')F[<starttls xmlns=tls><required/></starttls>]
		R> <starttls xmlns=tls/>
		P> <proceed xmlns=tls/>
		R> TLS client
	`
	everybody := func(to, from jid.Domain) (jid.Domain, error) { return corp, nil }
	for _, v := range []struct {
		name, before, after string
		toBefore, toAfter   string
		condition           Condition
	}{
		{"[C11]: the same", "from='remote.example' to='corp.example'", "from='remote.example' to='corp.example'", "remote.example", "remote.example", ""},
		{"[A06]: the same, spelled otherwise", "from='remote.example' to='corp.example'", "from='REMOTE.example' to='corp.example.'", "remote.example", "remote.example", ""},
		{"[C08]: named only behind TLS", "to='corp.example'", "from='remote.example' to='corp.example'", "", "remote.example", ""},
		{"[C08]: not named any more", "from='remote.example' to='corp.example'", "to='corp.example'", "remote.example", "", ""},
		{"another from", "from='remote.example' to='corp.example'", "from='victim.example' to='corp.example'", "remote.example", "victim.example", InvalidFrom},
		{"another to", "from='remote.example' to='corp.example'", "from='remote.example' to='conference.corp.example'", "remote.example", "remote.example", NotAuthorized},
	} {
		t.Run(v.name, func(t *testing.T) {
			t.Parallel()
			to := func(d string) string {
				if d == "" {
					return ""
				}
				return " to='" + d + "'"
			}
			script := strings.Replace(strings.Replace(begin, "%s", v.before, 1), "%s", to(v.toBefore), 1) + `
				R> H(` + v.after + ` version='1.0')
				P> H(from='corp.example'` + to(v.toAfter) + ` id='{b}' xml:lang='en' version='1.0')`
			if v.condition == "" {
				script += "F[<dialback xmlns='urn:xmpp:features:dialback'><errors/></dialback>]"
			} else {
				script += "<stream:error><" + string(v.condition) + " xmlns=streams/></stream:error></>\nP> EOF"
			}
			inBubble(t, script, func(t *testing.T, conn net.Conn) {
				s, err := Accept(t.Context(), conn, strict, everybody, offers)
				if err != nil {
					t.Fatal(err)
				}
				must(t, s, nsTLS, "starttls")
				err = s.StartTLS(t.Context(), testTLS().server)
				if condition(err) != string(v.condition) {
					t.Errorf("StartTLS: %v, want %q", err, v.condition)
				}
				if v.condition == "" && s.PeerHeader().From.String() != v.toAfter {
					t.Errorf("[C11]: the peer is still %s", s.Remote())
				}
			})
		})
	}
}

// [C11]: facts of the plaintext stream are gone as soon as there is TLS, before the new header is read.
func TestNothingIsRememberedAcrossTLS(t *testing.T) {
	t.Parallel()
	inBubble(t, `
		R> H(from='remote.example' to='corp.example' version='1.0' xml:lang='de')
		P> H(from='corp.example' to='remote.example' id='{a}' xml:lang='en' version='1.0')F[<starttls xmlns=tls><required/></starttls>]
		R> <starttls xmlns=tls/>
		P> <proceed xmlns=tls/>
		R> TLS client
		P> H(id='{b}' xml:lang='en' version='1.0')<stream:error><connection-timeout xmlns=streams/></stream:error></>
		P> EOF`,
		func(t *testing.T, conn net.Conn) {
			s, err := Accept(t.Context(), conn, strict, hostsCorp, offers)
			if err != nil {
				t.Fatal(err)
			}
			must(t, s, nsTLS, "starttls")
			time.AfterFunc(5*time.Second, func() {
				if h := s.PeerHeader(); s.ID() != "" || h != (Header{}) || s.TLS() == nil {
					t.Errorf("between handshake and header: id %q, header %+v, TLS %v", s.ID(), h, s.TLS() != nil)
				}
				if _, err := s.Write([]byte("<db:result/>")); err == nil {
					t.Error("an element was written ahead of the header")
				}
			})
			ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
			defer cancel()
			if err := s.StartTLS(ctx, testTLS().server); !errors.Is(err, ConnectionTimeout) {
				t.Errorf("StartTLS: %v, want connection-timeout", err)
			}
		})
}

// XEP-0368: TLS from the first byte.
func TestDirectTLS(t *testing.T) {
	t.Parallel()
	near, away := pipe(t)
	var called *Stream
	var answered sync.WaitGroup
	answered.Go(func() {
		var err error
		if called, err = Accept(t.Context(), tls.Server(near, testTLS().server), strict, hostsCorp, offers); err != nil {
			t.Error(err)
		}
	})
	calling, err := Initiate(t.Context(), tls.Client(away, testTLS().client), strict, remote, corp)
	answered.Wait()
	if err != nil || called == nil {
		t.Fatal(err)
	}
	if called.TLS() == nil || calling.TLS() == nil {
		t.Error("the streams do not know of their TLS")
	}
	if offered, _ := calling.FeatureStartTLS(); offered {
		t.Error("[M07]: STARTTLS is offered inside TLS")
	}
	if err := calling.ClientTLS(t.Context(), testTLS().client); err == nil {
		t.Error("TLS inside TLS")
	}
	called.Abort()
}
