package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"sallyport/internal/peer"
)

// perform plays once around a pretend gate with one fault.
func perform(t *testing.T, fault string) (Result, string) {
	t.Helper()
	var out bytes.Buffer
	o := Options{Once: true, Out: &out}
	if fault == "loses a message" {
		o.patience = 3 * time.Second // waited to its end
	}
	o.StartGate = func(ctx context.Context, path string) (Gate, error) {
		return startPretendGate(ctx, path, fault)
	}
	res, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return res, out.String()
}

func TestHonestGate(t *testing.T) {
	t.Parallel()
	res, out := perform(t, "")
	if !res.OK || len(res.Faults) > 0 {
		t.Fatalf("faults: %q\n%s", res.Faults, out)
	}
	if res.Sent != res.Delivered+res.Refused || res.Lost != 0 || res.Recorded+res.AtLink != res.Sent || res.AtLink != 1 || res.Bounced != res.Refused-1 {
		t.Errorf("the sums do not add up: %+v", res)
	}
	if res.Exposed != 0 || res.Secured == 0 || len(res.Links) != 4 || !res.RecordVerified {
		t.Errorf("result: %+v", res)
	}
	for _, want := range []string{"Hello Bob, can you read me?", "in order", "does not leave corp.example", "everything was as it must be"} {
		if !strings.Contains(out, want) {
			t.Errorf("the screen does not say %q:\n%s", want, out)
		}
	}
	if strings.Contains(out, "\x1b") {
		t.Error("colours where no terminal is")
	}
}

// TestFaultyGates checks that each fault of a gate is seen: the demo must not say OK to it.
func TestFaultyGates(t *testing.T) {
	t.Parallel()
	for fault, want := range map[string]string{
		"loses a message":   "lost",
		"passes everything": "delivered, though policy forbids it",
		"refuses a message": "bounced, though policy allows it",
		"reorders":          "did not arrive in the order",
		"repeats":           "or twice",
		"speaks in clear":   "in clear",
		"records nothing":   "not in the record",
		"forgets one":       "not in the record",
		"calls rival":       "called rival.example",
		"asks for rival":    "asked DNS for rival.example",
		"breaks the record": "does not verify",
		"proves nothing":    "must be tls and pkix",
	} {
		t.Run(fault, func(t *testing.T) {
			t.Parallel()
			res, _ := perform(t, fault)
			if res.OK || !strings.Contains(strings.Join(res.Faults, "\n"), want) {
				t.Errorf("OK %v, faults %q, want one that says %q", res.OK, res.Faults, want)
			}
		})
	}
}

func TestJSONIsOneObject(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	_, err := Run(t.Context(), Options{Once: true, JSON: true, Color: true, Out: &out, StartGate: func(ctx context.Context, path string) (Gate, error) {
		return startPretendGate(ctx, path, "")
	}})
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatalf("%v in %s", err, out.String())
	}
	for _, key := range []string{"sent", "delivered", "refused", "bounced", "lost", "recorded", "plaintext_stanza_bytes_outside", "links"} {
		if _, ok := got[key]; !ok {
			t.Errorf("no %q in %s", key, out.String())
		}
	}
}

// TestStaysUp ends the demo only when its context does, and tells how to look meanwhile.
func TestStaysUp(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	out := &watched{word: "Ctrl-C", seen: cancel}
	if _, err := Run(ctx, Options{Out: out, Program: "sallyport", StartGate: func(ctx context.Context, path string) (Gate, error) {
		return startPretendGate(ctx, path, "")
	}}); err != nil {
		t.Fatal(err)
	}
	if !regexp.MustCompile(`sallyport audit search -c \S+/sallyport\.yaml`).MatchString(out.String()) {
		t.Errorf("no hint how to search:\n%s", out.String())
	}
}

// watched calls seen as soon as a word was written.
type watched struct {
	bytes.Buffer
	word string
	seen func()
}

func (w *watched) Write(b []byte) (int, error) {
	n, err := w.Buffer.Write(b)
	if strings.Contains(w.String(), w.word) {
		w.seen()
	}
	return n, err
}

func TestKeep(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "kept")
	keep := func() (Result, error) {
		return Run(t.Context(), Options{Once: true, Keep: dir, Out: new(bytes.Buffer), StartGate: func(ctx context.Context, path string) (Gate, error) {
			return startPretendGate(ctx, path, "")
		}})
	}
	res, err := keep()
	if err != nil || res.Config != filepath.Join(dir, "sallyport.yaml") {
		t.Fatalf("config %q, %v", res.Config, err)
	}
	for _, name := range []string{"sallyport.yaml", "ca.pem", "corp.pem", "corp.key", "policy/house.rego", "policy/internal.yaml", "audit"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			t.Error(err)
		}
	}
	if text, _ := os.ReadFile(res.Config); bytes.ContainsRune(text, '@') {
		t.Errorf("a place was not filled in:\n%s", text)
	}
	if _, err := keep(); err == nil || !strings.Contains(err.Error(), "not empty") {
		t.Errorf("a second run into the same directory: %v, want a refusal", err)
	}
}

// What arrives before its sender was told its id counts as of when it arrived: else two that overtake each other there would pass for
// being in order.
func TestOrderIsThatOfArrival(t *testing.T) {
	t.Parallel()
	l := newLedger()
	one, two := l.open(&attempt{}), l.open(&attempt{})
	l.sent(one, "1")
	l.arrived(peer.Stanza{ID: "2"})
	l.arrived(peer.Stanza{ID: "1"})
	l.sent(two, "2")
	if l.inOrder([]*attempt{one, two}) {
		t.Error("the second came first, and the ledger says that they are in order")
	}
}
