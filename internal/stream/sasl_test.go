package stream

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"sallyport/internal/jid"
	"sallyport/internal/stanza"
)

// calledOut begins a conversation on a stream of ours. EXTERNAL needs TLS, of which the exchange itself knows nothing.
const calledOut = `
	P> H(from='corp.example' to='remote.example' xml:lang='en' version='1.0')
	R> H(from='remote.example' to='corp.example' id='r2' version='1.0')F[<mechanisms xmlns=sasl><mechanism>EXTERNAL</mechanism></mechanisms>]
	P> <auth xmlns=sasl mechanism='EXTERNAL'>Y29ycC5leGFtcGxl</auth>
	`

func TestClientExternal(t *testing.T) {
	t.Parallel()
	const again = `
		P> H(from='corp.example' to='remote.example' xml:lang='en' version='1.0')
		R> H(from='remote.example' to='corp.example' id='r3' version='1.0')F[<sm xmlns='urn:xmpp:sm:3'/>]`
	for _, v := range []struct {
		name, script string
		refused      string // the SASL condition
		fault        string // another error
		id           string
	}{
		{name: "W3", script: "R> <success xmlns=sasl/>" + again, id: "r3"},
		{name: "success with a word", script: "R> <success xmlns=sasl>PQ==</success>" + again, id: "r3"},
		{name: "[S05a]: a challenge in between", script: "R> <challenge xmlns=sasl/>\nP> <response xmlns=sasl>Y29ycC5leGFtcGxl</response>\nR> <success xmlns=sasl/>" + again, id: "r3"},
		{name: "W5, [S07]: refused", script: "R> <failure xmlns=sasl><not-authorized/></failure>", refused: "not-authorized", id: "r2"},
		{name: "refused in words", script: "R> <failure xmlns=sasl><invalid-authzid/><text xml:lang='en'>no</text></failure>", refused: "invalid-authzid: no", id: "r2"},
		{name: "refused without a reason", script: "R> <failure xmlns=sasl/>", refused: "not-authorized", id: "r2"},
		{name: "challenged for ever", script: "R> <challenge xmlns=sasl/>\nP> <response xmlns=sasl>Y29ycC5leGFtcGxl</response>\nR> <challenge xmlns=sasl/>\nP> EOF", fault: "without end"},
		{name: "[C22]: white space", script: "R> &white;<success xmlns=sasl/>\nP> <stream:error><policy-violation xmlns=streams/></stream:error></>", fault: "white space"},
		{name: "[T03]: more behind success", script: "R> <success xmlns=sasl/>H(id='x')\nP> EOF", fault: "behind <success/>"},
		{name: "something else", script: "R> <db:result from='remote.example' to='corp.example' type='valid'/>\nP> EOF", fault: "not of SASL"},
		{name: "success of another namespace", script: "R> <success xmlns=tls/>\nP> EOF", fault: "not of SASL"},
		{name: "a stream error", script: "R> <stream:error><reset xmlns=streams/></stream:error></>\nP> </>\nP> EOF", fault: "reset"},
		{name: "the end", script: "R> EOF", fault: "EOF"},
	} {
		t.Run(v.name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, calledOut+v.script, func(t *testing.T, conn net.Conn) {
				s, err := Initiate(t.Context(), conn, strict, corp, remote)
				if err != nil {
					t.Fatal(err)
				}
				err = s.ClientExternal(t.Context(), corp)
				var refused *SASLError
				switch {
				case v.refused != "":
					if !errors.As(err, &refused) || err.Error() != "SASL: "+v.refused {
						t.Errorf("got %v, want a refusal by %s", err, v.refused)
					}
				case v.fault != "":
					if err == nil || errors.As(err, &refused) || !strings.Contains(err.Error(), v.fault) {
						t.Errorf("got %v, want %q", err, v.fault)
					}
					if _, err := s.Write([]byte("x")); err == nil {
						t.Error("the stream is still open")
					}
				case err != nil:
					t.Error(err)
				}
				if v.id != "" && s.ID() != v.id {
					t.Errorf("[B11], [S07]: the id is %q, want %q", s.ID(), v.id)
				}
			})
		})
	}
}

// [S07], W5: dialback goes on where EXTERNAL ended.
func TestDialbackAfterRefusal(t *testing.T) {
	t.Parallel()
	inBubble(t, calledOut+`
		R> <failure xmlns=sasl><not-authorized/></failure>
		P> <db:result from='corp.example' to='remote.example'>k</db:result>
		R> <db:result from='remote.example' to='corp.example' type='valid'/>`,
		func(t *testing.T, conn net.Conn) {
			s, err := Initiate(t.Context(), conn, strict, corp, remote)
			if err != nil {
				t.Fatal(err)
			}
			s.ClientExternal(t.Context(), corp)
			if _, err := s.Write([]byte("<db:result from='corp.example' to='remote.example'>k</db:result>")); err != nil {
				t.Error(err)
			}
			must(t, s, nsDialback, "result")
		})
}

const calledIn = `
	R> H(from='remote.example' to='corp.example' version='1.0')
	P> H(from='corp.example' to='remote.example' id='{a}' xml:lang='en' version='1.0')F[]
	`

// [S06], [C10]: after success there are new documents, a new id, and the same peer.
func TestRestartAfterSuccess(t *testing.T) {
	t.Parallel()
	const auth = calledIn + `
		R> <auth xmlns=sasl mechanism='EXTERNAL'>=</auth>
		P> <success xmlns=sasl/>
		`
	for _, v := range []struct {
		name, script string
		condition    Condition
	}{
		{"the same", auth + `R> H(from='remote.example' to='corp.example' version='1.0')
			P> H(from='corp.example' to='remote.example' id='{b}' xml:lang='en' version='1.0')F[]`, ""},
		{"another", auth + `R> H(from='victim.example' to='corp.example' version='1.0')
			P> H(from='corp.example' to='victim.example' id='{b}' xml:lang='en' version='1.0')<stream:error><invalid-from xmlns=streams/></stream:error></>
			P> EOF`, InvalidFrom},
		{"nobody in time", auth + `
			P> H(id='{b}' xml:lang='en' version='1.0')<stream:error><connection-timeout xmlns=streams/></stream:error></>
			P> EOF`, ConnectionTimeout},
	} {
		t.Run(v.name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, v.script, func(t *testing.T, conn net.Conn) {
				s := accepted(t, conn, strict)
				must(t, s, nsSASL, "auth")
				if _, err := s.Write(AppendSuccess(nil)); err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				defer cancel()
				if err := s.Restart(ctx); condition(err) != string(v.condition) {
					t.Errorf("Restart: %v, want %q", err, v.condition)
				}
			})
		})
	}
}

// What was sent ahead of our success was not said to the new stream.
func TestRestartRefusesPipelinedBytes(t *testing.T) {
	t.Parallel()
	inBubble(t, calledIn+`
		R> <auth xmlns=sasl mechanism='EXTERNAL'>=</auth>H(from='remote.example' to='corp.example' version='1.0')
		P> <success xmlns=sasl/>
		P> EOF`,
		func(t *testing.T, conn net.Conn) {
			s := accepted(t, conn, strict)
			must(t, s, nsSASL, "auth")
			s.Write(AppendSuccess(nil))
			if err := s.Restart(t.Context()); err == nil {
				t.Error("the bytes were taken for the new stream's")
			}
		})
}

func TestParseAuth(t *testing.T) {
	t.Parallel()
	for _, v := range []struct {
		name, auth string
		authzid    jid.Domain
		err        string
	}{
		{"[S03], ABUSE 17: leave it to the header", "mechanism='EXTERNAL'>=", jid.Domain{}, ""},
		{"[S03]: by name", "mechanism='EXTERNAL'>cmVtb3RlLmV4YW1wbGU=", remote, ""},
		{"[A06]: by another spelling", "mechanism='EXTERNAL'>UmVtb3RlLkVYQU1QTEUu", remote, ""},
		{"[S05a]: without response", "mechanism='EXTERNAL'>", jid.Domain{}, ErrNoResponse.Error()},
		{"[S05]: another mechanism", "mechanism='PLAIN'>AGEAYg==", jid.Domain{}, "invalid-mechanism"},
		{"[S05]: in lower case", "mechanism='external'>=", jid.Domain{}, "invalid-mechanism"},
		{"[S05]: no mechanism", ">=", jid.Domain{}, "invalid-mechanism"},
		{"[S05]: no base64", "mechanism='EXTERNAL'>remote.example", jid.Domain{}, "incorrect-encoding"},
		{"[S05]: padding in the middle", "mechanism='EXTERNAL'>cm=VtbA==", jid.Domain{}, "incorrect-encoding"},
		{"[S05]: no padding", "mechanism='EXTERNAL'>cmVtb3RlLmV4YW1wbGU", jid.Domain{}, "incorrect-encoding"},
		{"[S05]: bits that count for nothing", "mechanism='EXTERNAL'>cmVtb3RlLmV4YW1wbGV=", jid.Domain{}, "incorrect-encoding"},
		{"[S05]: a line break", "mechanism='EXTERNAL'>cmVtb3Rl\nLmV4YW1wbGU=", jid.Domain{}, "incorrect-encoding"},
		{"[S05]: white space around", "mechanism='EXTERNAL'> = ", jid.Domain{}, "incorrect-encoding"},
		{"[S03]: a user", "mechanism='EXTERNAL'>YUByZW1vdGUuZXhhbXBsZQ==", jid.Domain{}, "invalid-authzid"},
		{"[S03]: a resource", "mechanism='EXTERNAL'>cmVtb3RlLmV4YW1wbGUvYQ==", jid.Domain{}, "invalid-authzid"},
		{"NUL", "mechanism='EXTERNAL'>cmVtb3RlLmV4YW1wbGUA", jid.Domain{}, "invalid-authzid"},
	} {
		el, err := stanza.ParseOne([]byte("<auth xmlns='"+nsSASL+"' "+v.auth+"</auth>"), stanza.DefaultLimits())
		if err != nil {
			t.Errorf("%s: %v", v.name, err)
			continue
		}
		_, authzid, err := ParseAuth(el.Tree())
		if authzid != v.authzid || (err == nil) != (v.err == "") || err != nil && !strings.Contains(err.Error(), v.err) {
			t.Errorf("%s: %v, %v; want %v, %q", v.name, authzid, err, v.authzid, v.err)
		}
	}
}

func TestChallenge(t *testing.T) {
	t.Parallel()
	for _, v := range []struct {
		name, script string
		authzid      jid.Domain
		refused      string
		fault        string
	}{
		{name: "[S05a]: by name", script: "R> <response xmlns=sasl>cmVtb3RlLmV4YW1wbGU=</response>", authzid: remote},
		{name: "[S05a]: nothing to say", script: "R> <response xmlns=sasl/>"},
		{name: "[S05a]: the same as nothing", script: "R> <response xmlns=sasl>=</response>"},
		{name: "[S05]: given up", script: "R> <abort xmlns=sasl/>", refused: "aborted"},
		{name: "[S05]: no base64", script: "R> <response xmlns=sasl>?</response>", refused: "incorrect-encoding"},
		{name: "[S03]: a user", script: "R> <response xmlns=sasl>YUByZW1vdGUuZXhhbXBsZQ==</response>", refused: "invalid-authzid"},
		{name: "something else", script: "R> <auth xmlns=sasl mechanism='EXTERNAL'>=</auth>", refused: "malformed-request"},
		{name: "[C22]: white space", script: "R> &lf;<response xmlns=sasl/>\nP> <stream:error><policy-violation xmlns=streams/></stream:error></>\nP> EOF", fault: "white space"},
		{name: "[C15]: a stanza", script: "R> <message/>\nP> <stream:error><not-authorized xmlns=streams/></stream:error></>\nP> EOF", fault: ErrStanza.Error()},
	} {
		t.Run(v.name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, calledIn+"R> <auth xmlns=sasl mechanism='EXTERNAL'/>\nP> <challenge xmlns=sasl/>\n"+v.script, func(t *testing.T, conn net.Conn) {
				s := accepted(t, conn, strict)
				if _, _, err := ParseAuth(must(t, s, nsSASL, "auth").Tree()); !errors.Is(err, ErrNoResponse) {
					t.Fatal(err)
				}
				authzid, err := s.Challenge(t.Context())
				var refused *SASLError
				switch {
				case v.refused != "":
					if !errors.As(err, &refused) || refused.Condition != v.refused {
						t.Errorf("got %v, want %s", err, v.refused)
					}
				case v.fault != "":
					if err == nil || errors.As(err, &refused) || !strings.Contains(err.Error(), v.fault) {
						t.Errorf("got %v, want %s", err, v.fault)
					}
				case err != nil, authzid != v.authzid:
					t.Errorf("got %v, %v, want %v", authzid, err, v.authzid)
				}
			})
		})
	}
}

func TestSASLFragments(t *testing.T) {
	t.Parallel()
	if got, want := string(AppendSASLFailure(nil, "invalid-authzid")), "<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><invalid-authzid/></failure>"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
