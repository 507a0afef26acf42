package ratchet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

const week = 7 * 24 * time.Hour

func terms(t *testing.T, mode string) Config {
	return Config{File: filepath.Join(t.TempDir(), "peers.json"), Mode: mode, Learn: week, Observe: week, Domains: 1000}
}

func open(t *testing.T, c Config) *Book {
	t.Helper()
	b, err := Open(c, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}

func seen(channel, proof, key, issuer string) Sighting {
	return Sighting{Domain: "partner.example", Direction: "out", Channel: channel, Proof: proof, SPKI: key, Issuer: issuer}
}

// A domain is learnt, then observed, then held to what it proved.
func TestStages(t *testing.T) {
	t.Parallel()
	c := terms(t, "enforce")
	synctest.Test(t, func(t *testing.T) {
		b := open(t, c)
		good, bad := seen("tls", "pkix", "", ""), seen("plaintext", "none", "", "")
		if news := b.Record(good); len(news) != 0 {
			t.Errorf("the first sight is news: %v", news)
		}
		for _, step := range []struct {
			after time.Duration
			told  int
			held  Known
		}{
			{week - time.Hour, 0, Known{}},
			{2 * time.Hour, 2, Known{}},
			{week - 2*time.Hour, 2, Known{}},
			{2 * time.Hour, 2, Known{Channel: "tls", Proof: "pkix"}},
		} {
			time.Sleep(step.after)
			if k := b.Known(bad); k != step.held {
				t.Errorf("held to %+v, want %+v", k, step.held)
			}
			if news := b.Record(bad); len(news) != step.told {
				t.Errorf("told %v, want %d", news, step.told)
			}
		}
		if k := b.Known(Sighting{Domain: "partner.example", Direction: "in"}); k != (Known{}) {
			t.Errorf("what it proved as a server binds it as a client: %+v", k)
		}
		if k := b.Known(Sighting{Domain: "other.example", Direction: "out"}); k != (Known{}) {
			t.Errorf("a stranger is held to %+v", k)
		}
		if err := b.Forgive("partner.example"); err != nil {
			t.Error(err)
		}
		if k := b.Known(bad); k != (Known{}) {
			t.Errorf("after it was forgiven it is held to %+v", k)
		}
	})
}

// A mark that moves up is learnt anew on its axis; the other axis stays.
func TestMarksMoveUpOnly(t *testing.T) {
	t.Parallel()
	c := terms(t, "enforce")
	synctest.Test(t, func(t *testing.T) {
		b := open(t, c)
		b.Record(seen("tls", "none", "", ""))
		time.Sleep(2 * week)
		b.Record(seen("tls", "dane", "", ""))
		if k := b.Known(seen("tls", "none", "", "")); k != (Known{Channel: "tls"}) {
			t.Errorf("held to %+v", k)
		}
		time.Sleep(2 * week)
		if news := b.Record(seen("tls", "pkix", "", "")); len(news) != 0 {
			t.Errorf("another proof of the same rank is a downgrade: %v", news)
		}
		b.Record(seen("plaintext", "none", "", ""))
		if k := b.Known(seen("tls", "none", "", "")); k != (Known{Channel: "tls", Proof: "dane"}) {
			t.Errorf("held to %+v", k)
		}
	})
}

func TestModes(t *testing.T) {
	t.Parallel()
	for mode, want := range map[string]struct{ told, held bool }{"off": {}, "observe": {told: true}, "enforce": {told: true, held: true}} {
		c := terms(t, mode)
		synctest.Test(t, func(t *testing.T) {
			b := open(t, c)
			b.Record(seen("tls", "pkix", "", ""))
			time.Sleep(3 * week)
			bad := seen("plaintext", "none", "", "")
			if held, told := b.Known(bad) != (Known{}), len(b.Record(bad)) > 0; held != want.held || told != want.told {
				t.Errorf("%s: held %t, told %t", mode, held, told)
			}
		})
		if _, err := os.Stat(c.File + ".lock"); (err != nil) != (mode == "off") {
			t.Errorf("%s: the lock file: %v", mode, err)
		}
	}
}

// ABUSE 41: a changed key or issuer of a known domain is told, with both.
func TestKeysAreMet(t *testing.T) {
	t.Parallel()
	b := open(t, terms(t, "observe"))
	for _, step := range []struct {
		key, issuer string
		want        []Change
	}{
		{"", "", nil},
		{"k1", "CA 1", nil},
		{"k1", "CA 1", nil},
		{"k2", "CA 1", []Change{{NewKey, "key", "k1", "k2"}}},
		{"k1", "CA 1", nil},
		{"k3", "CA 2", []Change{{NewIssuer, "key", "k1", "k3"}, {NewIssuer, "issuer", "CA 1", "CA 2"}}},
		{"k4", "CA 1", []Change{{NewKey, "key", "k3", "k4"}}},
	} {
		if got := b.Record(seen("tls", "pkix", step.key, step.issuer)); !slices.Equal(got, step.want) {
			t.Errorf("%s of %s: %v, want %v", step.key, step.issuer, got, step.want)
		}
	}
	for i := range 3 * maxKeys {
		b.Record(seen("tls", "pkix", fmt.Sprint("n", i), "CA 1"))
	}
	if p, _ := b.Show("partner.example"); len(p.Keys) != maxKeys || p.Keys[maxKeys-1].SPKI != fmt.Sprint("n", 3*maxKeys-1) {
		t.Errorf("%d keys are remembered: %v", len(p.Keys), p.Keys)
	}
}

func TestPins(t *testing.T) {
	t.Parallel()
	c := terms(t, "observe")
	b := open(t, c)
	one, two := "sha256/"+strings.Repeat("A", 43)+"=", "sha256/"+strings.Repeat("B", 42)+"A="
	for _, bad := range []string{"", "AAAA", "sha256/AAAA", "sha1/" + strings.Repeat("A", 43) + "="} {
		if err := b.Pin("partner.example", []string{bad}); err == nil {
			t.Errorf("%q was taken for a pin", bad)
		}
	}
	if err := b.Pin("never.example", nil); err == nil {
		t.Error("a domain without a key was pinned to nothing")
	}
	if err := b.Pin("partner.example", []string{one, two}); err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{one: "match", two: "match", "sha256/x": "other", "": "other"} {
		if k := b.Known(seen("tls", "pkix", strings.TrimPrefix(key, "sha256/"), "")); k.Pin != want {
			t.Errorf("%q is %q, want %q", key, k.Pin, want)
		}
	}
	b.Close()
	b = open(t, c)
	if k := b.Known(seen("tls", "pkix", "x", "")); k.Pin != "other" {
		t.Error("the pins were forgotten")
	}
	if err := b.Forgive("partner.example"); err != nil {
		t.Error(err)
	}
	if k := b.Known(seen("tls", "pkix", "x", "")); k.Pin != "other" {
		t.Error("forgiving a domain took its pins")
	}
	b.Record(seen("tls", "pkix", strings.TrimPrefix(two, "sha256/"), "CA"))
	if err := b.Pin("partner.example", nil); err != nil {
		t.Error(err)
	}
	if p, _ := b.Show("partner.example"); !slices.Equal(p.Pins, []string{two}) {
		t.Errorf("pinned to what was seen: %v", p.Pins)
	}
	if err := b.Unpin("partner.example"); err != nil || b.Known(seen("tls", "pkix", "x", "")).Pin != "" {
		t.Errorf("after unpinning: %v", err)
	}
	if err := b.Forgive("never.example"); err == nil {
		t.Error("a domain that was never seen was forgiven")
	}
}

// What was learnt outlives the process; a damaged file is no reason to begin anew in silence.
func TestFile(t *testing.T) {
	t.Parallel()
	c := terms(t, "enforce")
	b := open(t, c)
	b.Record(seen("tls", "pkix", "k", "CA"))
	if _, err := Open(c, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), ErrInUse.Error()) {
		t.Errorf("a second process: %v", err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(c.File); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	b = open(t, c)
	if p, err := b.Show("partner.example"); err != nil || p.Out.Proof.Best != "pkix" || len(p.Keys) != 1 || p.Links != 1 {
		t.Errorf("%+v, %v", p, err)
	}
	b.Close()
	for _, damage := range []string{"{", `{"version":2}`, "null", `{"version":1,"peers":{}}`} {
		if err := os.WriteFile(c.File, []byte(damage), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(c, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), c.File) {
			t.Errorf("%q: %v", damage, err)
		}
	}
}

// A disk that fails is told once, and what was learnt is written when it works again.
func TestDiskFails(t *testing.T) {
	t.Parallel()
	c := terms(t, "enforce")
	folder := filepath.Dir(c.File)
	var log strings.Builder
	synctest.Test(t, func(t *testing.T) {
		b, err := Open(c, slog.New(slog.NewTextHandler(&log, nil)))
		if err != nil {
			t.Fatal(err)
		}
		b.Record(seen("tls", "pkix", "k", "CA"))
		os.Rename(folder, folder+".away")
		for range 3 {
			b.tell(b.save(false))
		}
		os.Rename(folder+".away", folder)
		b.tell(b.save(false))
		b.Close()
	})
	if n := strings.Count(log.String(), "cannot be written"); n != 1 || !strings.Contains(log.String(), "written again") {
		t.Errorf("told %d times:\n%s", n, log.String())
	}
	if _, err := os.Stat(c.File); err != nil {
		t.Error(err)
	}
}

// Strangers cannot make the book forget those who were seen lately.
func TestBookIsBounded(t *testing.T) {
	t.Parallel()
	c := terms(t, "enforce")
	c.Domains = 3
	synctest.Test(t, func(t *testing.T) {
		b := open(t, c)
		meet := func(d string) { b.Record(Sighting{Domain: d, Direction: "in", Channel: "tls", Proof: "pkix"}) }
		for _, d := range []string{"a.example", "b.example", "c.example", "d.example"} {
			meet(d)
		}
		if len(b.List()) != 3 {
			t.Errorf("%d domains are remembered", len(b.List()))
		}
		time.Sleep(stale)
		meet("a.example")
		time.Sleep(time.Hour)
		meet("d.example")
		if all := b.List(); len(all) != 2 || all[0].Domain != "a.example" || all[1].Domain != "d.example" {
			t.Errorf("remembered: %v", all)
		}
	})
}

// TestTightens: a link knows when more than it shows will be asked of it, and of nothing else.
func TestTightens(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := Config{File: filepath.Join(t.TempDir(), "peers.json"), Mode: "enforce", Learn: time.Hour, Observe: time.Hour, Domains: 10}
		b, err := Open(c, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		begun := time.Now()
		b.Record(Sighting{Domain: "a.example", Direction: "in", Channel: "tls", Proof: "pkix"})
		below := Sighting{Domain: "a.example", Direction: "in", Channel: "tls", Proof: "dialback+tls"}
		time.Sleep(time.Minute)
		for name, x := range map[string]struct {
			s    Sighting
			want time.Time
		}{
			"below":               {below, begun.Add(2 * time.Hour)},
			"as good":             {Sighting{Domain: "a.example", Direction: "in", Channel: "tls", Proof: "dane"}, time.Time{}},
			"the other direction": {Sighting{Domain: "a.example", Direction: "out", Channel: "plaintext", Proof: "none"}, time.Time{}},
			"unknown":             {Sighting{Domain: "b.example", Direction: "in"}, time.Time{}},
		} {
			if got := b.Tightens(x.s); !got.Equal(x.want) {
				t.Errorf("%s: %v, want %v", name, got, x.want)
			}
		}
		time.Sleep(2 * time.Hour)
		if got := b.Tightens(below); !got.IsZero() {
			t.Errorf("when it is held to it already: %v", got)
		}
		c.Mode = "observe"
		b.Configure(c)
		if got := b.Tightens(below); !got.IsZero() {
			t.Errorf("when nothing is enforced: %v", got)
		}
	})
}

// TestSavesWhatIsNews: what was learnt is written soon, that a peer was seen again now and then, and all of it at the end; what a crash
// left half written is swept away.
func TestSavesWhatIsNews(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := terms(t, "enforce")
		for _, left := range []string{".123456", ".lock", ".1.bak"} {
			if err := os.WriteFile(c.File+left, nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		b := open(t, c)
		if left, _ := filepath.Glob(c.File + "*"); len(left) != 2 {
			t.Errorf("beside the file are %v", left)
		}
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { b.Run(ctx); close(done) }()
		seen := func(after time.Duration) uint64 {
			time.Sleep(after)
			synctest.Wait()
			var d document
			text, err := os.ReadFile(c.File)
			if err := errors.Join(err, json.Unmarshal(text, &d)); err != nil {
				t.Fatal(err)
			}
			return d.Peers[0].Links
		}
		s := Sighting{Domain: "a.example", Direction: "in", Channel: "tls", Proof: "dialback+tls"}
		b.Record(s)
		if n := seen(saveEvery + time.Second); n != 1 {
			t.Errorf("news: %d links are written", n)
		}
		b.Record(s)
		if n := seen(countEvery - time.Minute); n != 1 {
			t.Errorf("seen again: %d links are written soon", n)
		}
		if n := seen(2 * time.Minute); n != 2 {
			t.Errorf("seen again: %d links are written in the end", n)
		}
		s.Proof = "pkix"
		b.Record(s)
		if n := seen(saveEvery); n != 3 {
			t.Errorf("a better proof: %d links are written", n)
		}
		b.Record(s)
		stop()
		<-done
		if n := seen(0); n != 4 {
			t.Errorf("at the end: %d links are written", n)
		}
	})
}
