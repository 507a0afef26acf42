package stream

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"sallyport/internal/stanza"
)

func TestLimitsAreTold(t *testing.T) {
	t.Parallel()
	for want, c := range map[string]Capacity{
		"<limits xmlns='urn:xmpp:stream-limits:0'><max-bytes>524288</max-bytes><idle-seconds>7200</idle-seconds></limits>": {512 << 10, 2 * time.Hour},
		"<limits xmlns='urn:xmpp:stream-limits:0'><max-bytes>10000</max-bytes></limits>":                                   {Bytes: 10000},
		"<limits xmlns='urn:xmpp:stream-limits:0'><idle-seconds>1</idle-seconds></limits>":                                 {Idle: 1999 * time.Millisecond},
		"<limits xmlns='urn:xmpp:stream-limits:0'></limits>":                                                               {},
	} {
		if got := string(AppendLimits(nil, c)); got != want {
			t.Errorf("%+v is told as\n%s\nwant\n%s", c, got, want)
		}
	}
}

// told wraps what a peer says in the element that it says it in.
func told(t testing.TB, inner string) *stanza.Node {
	t.Helper()
	el, err := stanza.ParseOne([]byte("<bidi xmlns='urn:xmpp:bidi'>"+inner+"</bidi>"), stanza.DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	return el.Tree()
}

func TestLimitsAreRead(t *testing.T) {
	t.Parallel()
	const open, end = "<limits xmlns='urn:xmpp:stream-limits:0'>", "</limits>"
	for said, want := range map[string]Capacity{
		open + "<max-bytes>262144</max-bytes><idle-seconds>1800</idle-seconds>" + end: {262144, 30 * time.Minute},
		open + "<max-bytes>\n 10000 </max-bytes>" + end:                               {Bytes: 10000},
		open + "<idle-seconds>60</idle-seconds><x/>" + end:                            {Idle: time.Minute},
		open + "<max-bytes>2147483647</max-bytes>" + end:                              {Bytes: 1<<31 - 1},
		// What says nothing.
		"":                                    {},
		open + end:                            {},
		open + "<max-bytes/>" + end:           {},
		open + "<max-bytes>0</max-bytes>":     {},
		open + "<max-bytes>-1</max-bytes>":    {},
		open + "<max-bytes>+5</max-bytes>":    {},
		open + "<max-bytes>1e6</max-bytes>":   {},
		open + "<max-bytes>a few</max-bytes>": {},
		open + "<max-bytes>2147483648</max-bytes><idle-seconds>99999999999999999999</idle-seconds>": {},
		"<limits xmlns='urn:xmpp:stream-limits:1'><max-bytes>5</max-bytes>":                         {},
		open + "<max-bytes xmlns='urn:x'>5</max-bytes>":                                             {},
	} {
		if said != "" && said[len(said)-len(end):] != end {
			said += end
		}
		if got := ParseLimits(told(t, said)); got != want {
			t.Errorf("%s is read as %+v, want %+v", said, got, want)
		}
	}
	if got := ParseLimits(nil); got != (Capacity{}) {
		t.Errorf("a peer without features says %+v", got)
	}
}

// The newest features count (XEP-0478 §4).
func TestLimitsChangeWithTheFeatures(t *testing.T) {
	t.Parallel()
	inBubble(t, `
		P> H(from='remote.example' to='corp.example' xml:lang='en' version='1.0')
		R> H(from='corp.example' to='remote.example' id='r1' version='1.0')F[<limits xmlns='urn:xmpp:stream-limits:0'><max-bytes>10000</max-bytes></limits>]
		P> H(from='remote.example' to='corp.example' xml:lang='en' version='1.0')
		R> H(from='corp.example' to='remote.example' id='r2' version='1.0')F[<limits xmlns='urn:xmpp:stream-limits:0'><max-bytes>20000</max-bytes></limits>]
		`, func(t *testing.T, conn net.Conn) {
		s, err := Initiate(t.Context(), conn, strict, remote, corp)
		if err != nil {
			t.Fatal(err)
		}
		if got := s.FeatureLimits(); got.Bytes != 10000 {
			t.Errorf("the first features say %+v", got)
		}
		if err := s.step(t.Context(), s.clientRestart); err != nil {
			t.Fatal(err)
		}
		if got := s.FeatureLimits(); got.Bytes != 20000 {
			t.Errorf("the second features say %+v", got)
		}
	})
}

// Silence ends a trusted stream, white space does not ([C22], [C23]); whoever was told to come to an end still may.
func TestSilence(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		near, away := pipe(t)
		go func() {
			io.WriteString(away, shorthand.Replace("H(from='remote.example' to='corp.example')"))
			for range 5 {
				time.Sleep(50 * time.Second)
				io.WriteString(away, " ")
			}
			io.WriteString(away, "<x xmlns='urn:x'/><message")
		}()
		go io.Copy(io.Discard, away)
		s, err := Accept(t.Context(), near, Config{Strict: true, Idle: time.Minute}, hostsCorp, nothing)
		if err != nil {
			t.Fatal(err)
		}
		begun := time.Now()
		trusted := s.Trust()
		if batch, err := trusted.Batch(nil, 4); err != nil || len(batch) != 1 || time.Since(begun) != 250*time.Second {
			t.Fatalf("%d elements, %v, after %s", len(batch), err, time.Since(begun))
		}
		if _, err := trusted.Batch(nil, 4); !errors.Is(err, ErrSilent) || time.Since(begun) != 310*time.Second {
			t.Fatalf("after a minute of silence: %v, after %s", err, time.Since(begun))
		}
		// It is told once; then the stream is on its way to an end, and takes what still comes.
		go io.WriteString(away, " id='1'/>")
		if batch, err := trusted.Batch(nil, 4); err != nil || len(batch) != 1 {
			t.Fatalf("what came at the last moment: %d elements, %v", len(batch), err)
		}
		s.SetReadDeadline(time.Now().Add(time.Second))
		if _, err := trusted.Batch(nil, 4); !isTimeout(err) || errors.Is(err, ErrSilent) {
			t.Errorf("the caller's own deadline gives %v", err)
		}
	})
}

// A deadline of the caller's is not taken for silence, whichever comes first.
func TestSilenceAndDeadlines(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		near, away := pipe(t)
		go io.WriteString(away, shorthand.Replace("H(from='remote.example' to='corp.example')"))
		go io.Copy(io.Discard, away)
		s, err := Accept(context.Background(), near, Config{Strict: true, Idle: time.Minute}, hostsCorp, nothing)
		if err != nil {
			t.Fatal(err)
		}
		trusted := s.Trust()
		s.SetReadDeadline(time.Now().Add(time.Second))
		if _, err := trusted.Batch(nil, 4); !isTimeout(err) || errors.Is(err, ErrSilent) {
			t.Errorf("the caller's deadline gives %v", err)
		}
	})
}
