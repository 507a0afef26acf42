package proxy_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"sallyport/audit"
	"sallyport/internal/xmpptest"
	"sallyport/proxy"
)

// agreeing has a part of the traffic counted only.
const agreeing = closing + `
audit contains {"rule": "quiet", "level": "none"} if input.stanza.id == "quiet"
`

// AUDIT "The proof": the measurements of the gate, its record and the statement of the day agree to the stanza, whatever becomes of one: let
// pass and written, bounced, lost in a crash before, refused, dropped, counted only, judged again with each outcome, or let pass while the disk
// of the record failed.
func TestCountersRecordAndStatementAgree(t *testing.T) {
	t.Parallel()
	o := options{rego: agreeing, data: closed("nobody"), onFailure: audit.Pass}
	o.prepare = func(s *stage) {
		s.proxy.Health = func() proxy.RecordHealth { return proxy.RecordHealth{Lost: s.record.Stats().Lost} }
	}
	seen := observe(&o)
	s := newStage(t, o)
	s.shows("it", s.selfSigned(t, remote))
	s.reloads(closed("board", "hush", "numbers"), nil)
	c := xmpptest.Begin(t, s.Stage)

	const earlier = 1 // stanzas that a gate before this one let pass
	lost := []audit.Event{{Kind: audit.Stanza, Dir: "out", Local: local, Remote: remote, From: "romeo@corp.example/pc", To: "juliet@remote.example",
		Stanza: audit.StanzaPart{Kind: "message", Type: "chat", ID: []byte("lost")}, Decision: audit.DecisionPart{Effect: "allow"}}}
	must(t, s.record.Append(t.Context(), lost))
	open, err := audit.Unsettled(filepath.Join(s.dir, "audit"))
	must(t, err)
	s.proxy.Recover(open)
	c.Play(include(t, "_backend_takes") + "b receives <message from='juliet@remote.example' to='romeo@corp.example/pc' id='lost' type='error'>…</message>\n")

	// Allowed and refused at once, then judged again by a policy that has changed, before there is a link.
	c.Play(include(t, "_backend_speaks") + "l sends " + to("nobody", "m0", "0") + "\nb receives <message from='nobody@remote.example' to='romeo@corp.example/pc' id='m0' type='error'>…</message>\n")
	c.Play("l sends " + to("nobody", "nobody", "0") + to("board", "m1", "0") + to("juliet", "m2", "1234") + to("juliet", "hush", "0") + to("juliet", "quiet", "0") + to("juliet", "m3", "0") + "\n" +
		"b receives <message from='nobody@remote.example' to='romeo@corp.example/pc' id='nobody' type='error'>…</message>\n")
	s.awaitQueue(t, 5)
	c.Play("do reload\n" + remoteTakes(t, "it") + "r receives " + to("juliet", "m2", "*") + "\nr receives " + to("juliet", "quiet", "0") + "\nr receives " + to("juliet", "m3", "0") + "\n" +
		"b receives <message from='board@remote.example' to='romeo@corp.example/pc' id='m1' type='error'>…</message>\n")

	// Nobody is there.
	c.Play(strings.NewReplacer("l ", "k ", "v ", "w ", "remote.example", "nowhere.example", "{q7}", "{q8}").Replace(include(t, "_backend_speaks")) +
		"k sends <message from='romeo@corp.example/pc' to='juliet@nowhere.example' id='n1'/>\n" +
		strings.NewReplacer("b ", "d ", "remote.example", "nowhere.example", "{ki}", "{kj}").Replace(include(t, "_backend_takes")) +
		"d receives <message from='juliet@nowhere.example' to='romeo@corp.example/pc' id='n1' type='error'>…<remote-server-not-found …</message>\n")

	// The disk fails for a while.
	segment := filepath.Join(s.dir, "audit", "00000001.jsonl")
	say := func(n int) {
		id := "f" + strconv.Itoa(n)
		c.Play("l sends " + to("juliet", id, "0") + "\nr receives " + to("juliet", id, "0") + "\n")
	}
	n := 0
	for ; s.record.Stats().Fault == nil; n++ { // until the record finds that somebody else writes to it
		f, err := os.OpenFile(segment, os.O_WRONLY|os.O_APPEND, 0)
		must(t, err)
		_, err = f.WriteString("x")
		must(t, err)
		must(t, f.Close())
		say(n)
	}
	say(n)
	b, err := os.ReadFile(segment)
	must(t, err)
	must(t, os.Truncate(segment, int64(bytes.LastIndexByte(b, '\n')+1)))
	for end := time.Now().Add(patience); s.record.Stats().Fault != nil && time.Now().Before(end); {
		<-time.After(10 * time.Millisecond)
	}
	say(n + 1)
	c.End()
	s.proxy.Shutdown(t.Context())
	must(t, s.record.Close())
	agree(t, seen, filepath.Join(s.dir, "audit"), earlier)
}

// agree holds the measurements, the record and the statement against each other.
func agree(t *testing.T, seen *observed, dir string, earlier uint64) {
	t.Helper()
	gate := map[string]uint64{}
	for _, p := range seen.points(t) {
		name, rest, _ := strings.Cut(p, "{")
		labels, value, _ := strings.Cut(rest, "} ")
		if v, err := strconv.ParseUint(value, 10, 64); err == nil {
			gate[name] += v
			for _, label := range strings.Split(labels, ",") {
				gate[name+" "+label] += v
			}
		}
	}
	all, err := audit.Complete(t.Context(), dir, "", time.Now())
	must(t, err)
	day := all[0]
	record := map[string]uint64{}
	must(t, audit.Search(t.Context(), dir, audit.Query{}, func(_ []byte, r audit.Record) error {
		switch {
		case r.Kind == "stanza":
			record[fmt.Sprint(r.Code)]++
		case r.Kind == "delivery":
			for _, of := range r.Of {
				record[r.Outcome] += of.Last - of.First + 1
			}
		default:
			record[r.Kind] += r.Count
			record[r.Kind+" passed"] += r.Passed
		}
		return nil
	}))
	passed, refused, again := day.In.Recorded+day.In.Counted+day.Out.Recorded+day.Out.Counted+day.Passed, day.In.Refused+day.Out.Refused, day.In.Again+day.Out.Again
	settled := day.Settled.Acked + day.Settled.Written + day.Settled.Bounced + day.Settled.Dropped + day.Settled.Lost
	for _, e := range []struct {
		what                    string
		gate, record, statement uint64
	}{
		{"let pass", gate["sallyport.stanzas effect=allow"] + earlier, record["100"] + record["audit.count"] + record["audit.gap passed"], passed},
		{"refused", gate["sallyport.stanzas effect=deny"] + gate["sallyport.stanzas effect=drop"], record["101"] + record["102"], refused},
		{"judged again", gate["sallyport.stanzas.again"], record["103"] + record["104"] + record["105"], again},
		{"not recorded", gate["sallyport.audit.lost"], record["audit.gap"], day.Unrecorded},
		{"told that it did not arrive", gate["sallyport.bounces told=true"], record["bounced"] + record["lost"], day.Settled.Bounced + day.Settled.Lost},
		{"gone without a word", gate["sallyport.bounces told=false"], record["dropped"], day.Settled.Dropped},
		{"settled, of those with an event", record["100"], record["written"] + record["acked"] + record["bounced"] + record["dropped"] + record["lost"], settled},
	} {
		if e.gate != e.record || e.record != e.statement || e.gate == 0 {
			t.Errorf("%s: %d by the gate's measurements, %d by the record, %d by the statement", e.what, e.gate, e.record, e.statement)
		}
	}
	if left, err := audit.Unsettled(dir); err != nil || len(left) > 0 {
		t.Errorf("%d stanzas have no end, %v", len(left), err)
	}
}
