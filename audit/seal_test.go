package audit

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"filippo.io/age"
)

// officer makes the keys of somebody who may open.
func officer(t testing.TB) *age.X25519Identity {
	t.Helper()
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func recipients(officers ...*age.X25519Identity) (all []string) {
	for _, o := range officers {
		all = append(all, o.Recipient().String())
	}
	return all
}

// secretStanza is a stanza that says something, at level sealed.
func secretStanza(i int, body string) Event {
	e := stanzaEvent(i)
	e.Level = LevelSealed
	e.Content = ContentPart{Body: []byte(body), Lang: "en"}
	return e
}

// sealedLine is one line with its record.
type sealedLine struct {
	line []byte
	Record
}

// sealedLines reads the stanzas of a record that hold a box.
func sealedLines(t testing.TB, dir string) (all []sealedLine) {
	t.Helper()
	err := Search(context.Background(), dir, Query{Kind: "stanza"}, func(line []byte, r Record) error {
		if r.Sealed.Box != "" {
			all = append(all, sealedLine{slices.Clone(line), r})
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// bodies opens every box of a record.
func bodies(t testing.TB, dir string, o *Opener) (all []string) {
	t.Helper()
	for _, l := range sealedLines(t, dir) {
		c, err := o.Open(l.line, l.Record)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, c.Body)
	}
	return all
}

// TestSealed: what is sealed stands nowhere in the record's directory, each officer opens it alone, in whatever order, and nobody
// else does. The key's own event stands before the first line under it, and has the file's hash.
func TestSealed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	a, b, stranger := officer(t), officer(t), officer(t)
	l := open(t, Config{Dir: dir, Sealing: Sealing{Recipients: recipients(a, b)}})
	full := secretStanza(2, "the merger is \u202eon\x1b[2J\n\"Monday\"")
	full.Content.Subject, full.Content.XML = []byte("Aquila"), []byte("<message><body>the merger</body><x/></message>")
	appendAll(t, l, []Event{secretStanza(1, "buy the vineyard"), full})
	appendAll(t, l, []Event{secretStanza(3, "at noon")})
	closeLog(t, l)

	all := records(t, dir)
	if got, want := kindsOf(all), []string{"audit.key", "stanza", "stanza", "stanza"}; !slices.Equal(got, want) {
		t.Fatalf("the record has %v, want %v", got, want)
	}
	file, err := os.ReadFile(filepath.Join(dir, keysDir, all[0].Key+keySuffix))
	if err != nil {
		t.Fatal(err)
	}
	if sum := sha256.Sum256(file); hex.EncodeToString(sum[:]) != all[0].SHA256 {
		t.Error("audit.key does not have the hash of its file")
	}
	_, segment := lastSegment(t, dir)
	for _, secret := range []string{"vineyard", "merger", "Monday", "Aquila", "noon", "<body"} {
		if bytes.Contains(segment, []byte(secret)) || bytes.Contains(file, []byte(secret)) {
			t.Errorf("%q can be read in the record", secret)
		}
	}
	lines := sealedLines(t, dir)
	slices.Reverse(lines)
	for _, id := range []age.Identity{a, b} {
		o := NewOpener(dir, stranger, id)
		for _, l := range lines {
			c, err := o.Open(l.line, l.Record)
			if err != nil {
				t.Fatal(err)
			}
			want := ContentRecord{Body: map[string]string{"purple00000001": "buy the vineyard", "purple00000002": string(full.Content.Body), "purple00000003": "at noon"}[l.Stanza.ID], Lang: "en"}
			if l.Stanza.ID == "purple00000002" {
				want.Subject, want.XML = "Aquila", string(full.Content.XML)
			}
			if c != want {
				t.Errorf("%s: opened as %+v, want %+v", l.Stanza.ID, c, want)
			}
		}
	}
	if c, err := NewOpener(dir, stranger).Open(lines[0].line, lines[0].Record); err == nil || c.Body != "" {
		t.Errorf("a stranger's key opens it: %v", c)
	}
	if _, err := NewOpener(dir).Open(lines[0].line, lines[0].Record); err == nil {
		t.Error("it opens without a key")
	}
}

// TestShares: with a threshold two of three officers open, each with the file of his own or with what another has decrypted
// elsewhere; one does not, however often he comes.
func TestShares(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	a, b, c := officer(t), officer(t), officer(t)
	l := open(t, Config{Dir: dir, Sealing: Sealing{Recipients: recipients(a, b, c), Threshold: 2}})
	appendAll(t, l, []Event{secretStanza(1, "x marks the spot")})
	closeLog(t, l)
	want := []string{"x marks the spot"}
	for _, two := range [][]age.Identity{{a, b}, {c, a}, {b, c}, {a, b, c}} {
		if got := bodies(t, dir, NewOpener(dir, two...)); !slices.Equal(got, want) {
			t.Errorf("opened as %q", got)
		}
	}
	lines := sealedLines(t, dir)
	alone := NewOpener(dir, b)
	if _, err := alone.Open(lines[0].line, lines[0].Record); !errors.Is(err, ErrTooFew) {
		t.Error("one officer of two:", err)
	}
	path := func(share int) string {
		return filepath.Join(dir, keysDir, fmt.Sprintf("%s.%d.age", lines[0].Sealed.Key, share))
	}
	own, err := decrypt(path(2), []age.Identity{b})
	if err != nil {
		t.Fatal(err)
	}
	alone.Give(own)
	if _, err := alone.Open(lines[0].line, lines[0].Record); !errors.Is(err, ErrTooFew) {
		t.Error("one officer twice:", err)
	}
	others, err := decrypt(path(3), []age.Identity{c})
	if err != nil {
		t.Fatal(err)
	}
	if others.Share != 3 || others.Of != 3 || others.Needed != 2 {
		t.Errorf("the share says %d of %d, %d needed", others.Share, others.Of, others.Needed)
	}
	alone.Give(others)
	if got := bodies(t, dir, alone); !slices.Equal(got, want) {
		t.Errorf("opened as %q", got)
	}
	spoilt := others
	spoilt.Secret = bytes.Repeat([]byte{7}, keySize)
	misled := NewOpener(dir, b)
	misled.Give(spoilt)
	if _, err := misled.Open(lines[0].line, lines[0].Record); !errors.Is(err, ErrTampered) {
		t.Error("a share that is none:", err)
	}
}

// TestTampering: a box opens in its own line alone, whole and under its own key.
func TestTampering(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	a := officer(t)
	l := open(t, Config{Dir: dir, Sealing: Sealing{Recipients: recipients(a)}})
	appendAll(t, l, []Event{secretStanza(1, "pay 100"), secretStanza(2, "pay 900")})
	closeLog(t, l)
	o := NewOpener(dir, a)
	lines := sealedLines(t, dir)
	objects := func(what string, line []byte) {
		t.Helper()
		r, err := ParseRecord(line)
		if err != nil {
			return // found without a key
		}
		if c, err := o.Open(line, r); err == nil {
			t.Errorf("%s: it opens as %+v", what, c)
		}
	}
	one, two := lines[0], lines[1]
	for i := range one.line {
		changed := slices.Clone(one.line)
		changed[i] ^= 1
		objects(fmt.Sprintf("byte %d", i), changed)
	}
	for what, change := range map[string][2]string{
		"other sender": {"alice@corp.example", "carol@corp.example"}, "other step": {`"n":1`, `"n":2`}, "no step": {`"n":1,`, ""}, "a step too far": {`"n":1`, `"n":9999999999`},
		"other key": {"-1\",\"n\"", "-2\",\"n\""}, "other's box": {one.Sealed.Box, two.Sealed.Box}, "cut box": {one.Sealed.Box, one.Sealed.Box[:20]}, "no box": {one.Sealed.Box, ""},
		"a path": {one.Sealed.Key, "../../x/2026-01-01-1"}, "a sender behind the box": {`"}}`, `"},"from":"carol@corp.example"}`}, "a space behind the box": {`"}}`, `"} }`},
		"more in the box": {`"}}`, `","x":"y"}}`}, "a body in clear": {`"}}`, `"},"content":{"body":"pay 0"}}`},
	} {
		changed := strings.Replace(string(one.line), change[0], change[1], 1)
		if changed == string(one.line) {
			t.Fatalf("%s: nothing was changed", what)
		}
		objects(what, []byte(changed))
	}
	// Another key's file in this one's place.
	file := filepath.Join(dir, keysDir, one.Sealed.Key+keySuffix)
	other, err := encrypt(KeyFile{V: 1, Key: "default/2026-01-01-1", Secret: make([]byte, keySize)}, a.Recipient())
	if err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	spoilt := slices.Clone(whole)
	spoilt[len(spoilt)-3] ^= 1
	for what, content := range map[string][]byte{"another's file": other, "a changed file": spoilt, "an empty file": nil} {
		write(t, file, content)
		if _, err := NewOpener(dir, a).Open(one.line, one.Record); !errors.Is(err, ErrTampered) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if _, err := NewOpener(dir, a).Open(one.line, one.Record); !errors.Is(err, ErrNoKey) {
		t.Error("without the file:", err)
	}
}

// TestStepsBackAndForth: a line may name any step of a ratchet. Many that name far ones in turn cost no more than the way there and a
// stride each.
func TestStepsBackAndForth(t *testing.T) {
	t.Parallel()
	const name = "default/2026-07-30-1"
	first := [keySize]byte{7}
	o := NewOpener(t.TempDir())
	o.Give(KeyFile{V: 1, Key: name, Secret: first[:]})
	want := map[uint64][keySize]byte{}
	c := chain{key: first}
	for range 3*stride + 1 {
		n, key := c.next()
		want[n] = key
	}
	for _, n := range []uint64{1, 3*stride + 1, 2, 3 * stride, stride, stride + 1, 2*stride - 1, 1} {
		if key, err := o.message(name, n); err != nil || key != want[n] {
			t.Errorf("step %d: %v", n, err)
		}
	}
	marks := len(o.followed[name].marks)
	if _, err := o.message(name, 2*stride); err != nil || marks != 4 || len(o.followed[name].marks) != marks {
		t.Errorf("%d marks, then %d, %v", marks, len(o.followed[name].marks), err)
	}
}

// TestKeysAreNotUsedTwice: whatever takes lines back, ends the gate or turns the clock, no key ever seals two messages.
func TestKeysAreNotUsedTwice(t *testing.T) {
	t.Parallel()
	dir, d := t.TempDir(), newTestDisk()
	a := officer(t)
	now := time.Date(2026, 7, 30, 12, 0, 0, 0, time.UTC)
	var mu sync.Mutex
	clock := func() time.Time {
		mu.Lock()
		defer mu.Unlock()
		now = now.Add(time.Millisecond)
		return now
	}
	jump := func(by time.Duration) {
		mu.Lock()
		defer mu.Unlock()
		now = now.Add(by)
	}
	c := Config{Dir: dir, Sealing: Sealing{Recipients: recipients(a)}}
	want := 0
	say := func(l *Log) {
		t.Helper()
		appendAll(t, l, []Event{secretStanza(want, fmt.Sprint("body ", want))})
		want++
	}
	l := openWith(t, c, d, clock)
	say(l)
	d.set(func(d *testDisk) { d.noSync = errors.New("bad sector") })
	for range 3 {
		if err := l.Append(context.Background(), []Event{secretStanza(-1, "never recorded")}); !errors.Is(err, ErrUnrecorded) {
			t.Fatal("the disk fails, and Append says", err)
		}
	}
	d.set(func(d *testDisk) { d.noSync = nil })
	for l.Append(context.Background(), []Event{secretStanza(want, fmt.Sprint("body ", want))}) != nil {
		if t.Context().Err() != nil {
			t.Fatal("the disk works again, and the record does not")
		}
	}
	want++
	for _, by := range []time.Duration{-48 * time.Hour, 48 * time.Hour, 24 * time.Hour, -24 * time.Hour} {
		jump(by)
		say(l)
		say(l)
	}
	closeLog(t, l)
	for range 2 { // as after a crash: nothing of the old keys is known
		l = openWith(t, c, d, clock)
		say(l)
		closeLog(t, l)
	}
	type use struct {
		key string
		n   uint64
	}
	seen, keys := map[use]bool{}, map[string]bool{}
	for _, l := range sealedLines(t, dir) {
		u := use{l.Sealed.Key, l.Sealed.N}
		if seen[u] {
			t.Errorf("key %s, step %d, seals twice", u.key, u.n)
		}
		seen[u], keys[u.key] = true, true
	}
	if len(keys) != 7 {
		t.Errorf("%d keys: %v", len(keys), keys)
	}
	if seen[use{"default/2026-07-30-1", 2}] || !seen[use{"default/2026-07-30-1", 3}] {
		t.Error("the message that was taken back did not use up its key")
	}
	got := bodies(t, dir, NewOpener(dir, a))
	if len(got) != want {
		t.Fatalf("%d of %d open", len(got), want)
	}
	for i, body := range got {
		if body != fmt.Sprint("body ", i) {
			t.Errorf("stanza %d is opened as %q", i, body)
		}
	}
}

// TestKeyForEachClassAndSoManyStanzas: each retention class has keys of its own, a key is used as often as the limit says, and a
// policy that makes up classes cannot make the gate keep keys without end.
func TestKeyForEachClassAndSoManyStanzas(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	a := officer(t)
	l := open(t, Config{Dir: dir, Durability: Async, Sealing: Sealing{Recipients: recipients(a), Stanzas: 3}})
	for i := range 7 {
		appendAll(t, l, []Event{secretStanza(i, "x")})
	}
	odd := secretStanza(8, "x")
	for _, class := range []string{"7y", "../../etc", ""} {
		odd.Decision.Retention = class
		appendAll(t, l, []Event{odd})
	}
	used := map[string]int{}
	for _, l := range sealedLines(t, dir) {
		folder, name, _ := strings.Cut(l.Sealed.Key, "/")
		used[folder+name[len(time.DateOnly):]]++
	}
	want := map[string]int{"default-1": 3, "default-2": 3, "default-3": 2, "7y-1": 1, classFolder("../../etc") + "-1": 1}
	if fmt.Sprint(used) != fmt.Sprint(want) {
		t.Errorf("keys were used %v, want %v", used, want)
	}
	closeLog(t, l)
	if got := bodies(t, dir, NewOpener(dir, a)); len(got) != 10 {
		t.Errorf("%d open", len(got))
	}
}

// TestManyClasses: classes share no key, however many there are; the gate holds keys for so many at a time, and gives up that of a class
// which has been at rest for long.
func TestManyClasses(t *testing.T) {
	t.Parallel()
	clock := &hand{at: time.Date(2026, 7, 1, 9, 0, 0, 0, time.UTC)}
	dir := t.TempDir()
	a := officer(t)
	l := openWith(t, Config{Dir: dir, Sealing: Sealing{Recipients: recipients(a)}}, newTestDisk(), clock.now)
	of := func(class string) []Event {
		e := secretStanza(0, class)
		e.Decision.Retention = class
		return []Event{e}
	}
	appendAll(t, l, of("first"))
	clock.turn(chainRest)
	for i := range maxChains - 1 { // as if each had sealed something just now
		l.sealer.chains[fmt.Sprint("class-", i)] = &chain{touched: clock.now()}
	}
	appendAll(t, l, of("second")) // the first makes room
	if err := l.Append(t.Context(), of("third")); !errors.Is(err, errManyClasses) || !errors.Is(err, ErrUnrecorded) {
		t.Errorf("one class too many: %v", err)
	}
	clock.turn(chainRest)
	appendAll(t, l, of("first"))
	if len(l.sealer.chains) != maxChains {
		t.Errorf("%d keys are held", len(l.sealer.chains))
	}
	closeLog(t, l)
	keys := map[string]bool{}
	for _, l := range sealedLines(t, dir) {
		keys[l.Sealed.Key] = true
	}
	if got := bodies(t, dir, NewOpener(dir, a)); len(keys) != 3 || !keys["first/2026-07-01-1"] || !keys["first/2026-07-01-2"] || len(got) != 3 {
		t.Errorf("sealed under %v, %d open", keys, len(got))
	}
}

// TestManyWantTheFirstKey: links that need a key at the same moment get one and the same.
func TestManyWantTheFirstKey(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	a := officer(t)
	l := open(t, Config{Dir: dir, Sealing: Sealing{Recipients: recipients(a)}})
	var all sync.WaitGroup
	for i := range 16 {
		all.Go(func() {
			if err := l.Append(context.Background(), []Event{secretStanza(i, "x")}); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	closeLog(t, l)
	keys, err := SealingKeys(dir)
	if err != nil || len(keys) != 1 || len(bodies(t, dir, NewOpener(dir, a))) != 16 {
		t.Errorf("%d keys, %v", len(keys), err)
	}
}

// TestNoKeyNoStanza: what cannot be sealed does not pass, and comes to the disk in no other form. With on_failure pass it passes,
// without its content, and the line says what is missing.
func TestNoKeyNoStanza(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		what   string
		config Config
		spoil  func(d *testDisk)
	}{
		{"nobody to open it", Config{}, func(*testDisk) {}},
		{"the key's file cannot be made", Config{Sealing: Sealing{Recipients: recipients(officer(t))}}, func(d *testDisk) { d.noNew = errors.New("read-only") }},
		{"the folder cannot be synced", Config{Sealing: Sealing{Recipients: recipients(officer(t))}}, func(d *testDisk) { d.noDir = errors.New("bad sector") }},
	} {
		for _, onFailure := range []string{Refuse, Pass} {
			d := newTestDisk()
			c.config.Dir, c.config.OnFailure = t.TempDir(), onFailure
			l := openWith(t, c.config, d, time.Now)
			d.set(c.spoil)
			clear := stanzaEvent(1)
			appendAll(t, l, []Event{clear})
			batch := []Event{secretStanza(2, "the secret")}
			err := l.Append(context.Background(), batch)
			d.set(func(d *testDisk) { d.noNew, d.noDir = nil, nil })
			closeLog(t, l)
			all := records(t, c.config.Dir)
			if _, segment := lastSegment(t, c.config.Dir); bytes.Contains(segment, []byte("the secret")) {
				t.Errorf("%s, %s: the content is in the record in clear", c.what, onFailure)
			}
			if onFailure == Refuse {
				if !errors.Is(err, ErrUnrecorded) || batch[0].Seq != 0 || len(stanzaIDs(all)) != 1 {
					t.Errorf("%s: Append says %v, seq %d; %d stanzas", c.what, err, batch[0].Seq, len(stanzaIDs(all)))
				}
				continue
			}
			if last := all[len(all)-1]; err != nil || last.Level != "metadata" || last.Asked != "sealed" || last.Sealed.Box != "" {
				t.Errorf("%s, pass: %v, %+v", c.what, err, last)
			}
		}
	}
}

// TestKeyThatTakesLong: who waits for a key on a disk that does not answer can leave; what needs none goes on.
func TestKeyThatTakesLong(t *testing.T) {
	t.Parallel()
	d := newTestDisk()
	l := openWith(t, Config{Dir: t.TempDir(), Durability: Async, Sealing: Sealing{Recipients: recipients(officer(t))}}, d, time.Now)
	appendAll(t, l, []Event{stanzaEvent(1)})
	d.stall = make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	left := make(chan error)
	go func() { left <- l.Append(ctx, []Event{secretStanza(2, "x")}) }()
	cancel()
	if err := <-left; !errors.Is(err, context.Canceled) {
		t.Error("who leaves is told", err)
	}
	l.Note(Event{Kind: NodeStop}) // takes the lock that nobody may hold meanwhile
	close(d.stall)
	closeLog(t, l)
}

// TestDestroy: a class's keys go by period, others stay, and what was sealed under them says so.
func TestDestroy(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	a, b := officer(t), officer(t)
	day := time.Date(2026, 7, 1, 9, 0, 0, 0, time.UTC)
	clock := &hand{at: day}
	l := openWith(t, Config{Dir: dir, Sealing: Sealing{Recipients: recipients(a, b), Threshold: 2}}, osDisk{}, clock.now)
	for i := range 4 {
		clock.turn(day.AddDate(0, 0, i).Sub(clock.now()))
		long := secretStanza(i+10, "kept")
		long.Decision.Retention = "7y"
		appendAll(t, l, []Event{secretStanza(i, "gone"), long})
	}
	closeLog(t, l)
	_, before := lastSegment(t, dir)
	ctx, c := context.Background(), Config{Dir: dir}
	var noted []Event
	note := func(e Event) error {
		noted = append(noted, e)
		return nil
	}
	if _, err := DestroyKeys(ctx, c, KeyOrder{Before: clock.now().AddDate(0, 0, 1), Now: clock.now()}, note); err == nil {
		t.Error("a day to come is taken")
	}
	order := KeyOrder{Before: time.Date(2026, 7, 3, 0, 0, 0, 0, time.UTC), Now: clock.now()}
	broken := errors.New("no room")
	if gone, err := DestroyKeys(ctx, c, order, func(Event) error { return broken }); !errors.Is(err, broken) || len(gone) != 0 {
		t.Errorf("without a record: %+v, %v", gone, err)
	}
	doomed, err := DestroyKeys(ctx, c, order, note)
	if err != nil || len(doomed) != 2 || doomed[1].Name != "default/2026-07-02-1" || len(doomed[0].Files) != 2 {
		t.Fatalf("%+v, %v", doomed, err)
	}
	if len(noted) != 1 || noted[0].Kind != AuditDestroy || noted[0].Count != 2 {
		t.Errorf("%+v", noted)
	}
	o, closed, opened := NewOpener(dir, a, b), 0, 0
	for _, l := range sealedLines(t, dir) {
		_, err := o.Open(l.line, l.Record)
		gone := l.Decision.Retention == "" && l.Time.Before(time.Date(2026, 7, 3, 0, 0, 0, 0, time.UTC))
		switch {
		case gone && errors.Is(err, ErrDestroyed):
			closed++
		case !gone && err == nil:
			opened++
		default:
			t.Errorf("%s of %s: %v", l.Sealed.Key, l.Time, err)
		}
	}
	if closed != 2 || opened != 6 {
		t.Errorf("%d are closed, %d open", closed, opened)
	}
	if _, after := lastSegment(t, dir); !bytes.Equal(before, after) {
		t.Error("the record was changed")
	}
	if again, err := DestroyKeys(ctx, c, KeyOrder{Before: clock.now(), Now: clock.now()}, note); err != nil || len(again) != 1 {
		t.Errorf("a destroyed key is doomed again: %v, %v", again, err)
	}
	if n, err := nextNumber(filepath.Join(dir, keysDir, "default"), "2026-07-01"); err != nil || n != 2 {
		t.Errorf("the number of a destroyed key is given to another: %d, %v", n, err)
	}
}

// TestAgeOpensTheKey: age's own program opens the file of a key, and a share of one, with what age-keygen made; what it prints opens
// the record. An officer needs nothing of ours to hold a share.
func TestAgeOpensTheKey(t *testing.T) {
	t.Parallel()
	program(t, "age")
	for _, threshold := range []int{1, 2} {
		dir, keys := t.TempDir(), t.TempDir()
		var officers []string
		for i := range 2 {
			path := filepath.Join(keys, fmt.Sprint(i))
			if out, err := exec.Command("age-keygen", "-o", path).CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			out, err := exec.Command("age-keygen", "-y", path).Output()
			if err != nil {
				t.Fatal(err)
			}
			officers = append(officers, strings.TrimSpace(string(out)))
		}
		l := open(t, Config{Dir: dir, Sealing: Sealing{Recipients: officers, Threshold: threshold}})
		appendAll(t, l, []Event{secretStanza(1, "for the officers")})
		closeLog(t, l)
		o, all := NewOpener(dir), sealedLines(t, dir)
		for i := range threshold {
			path := filepath.Join(dir, keysDir, all[0].Sealed.Key)
			if threshold > 1 {
				path += fmt.Sprint(".", i+1)
			}
			out, err := exec.Command("age", "-d", "-i", filepath.Join(keys, fmt.Sprint(i)), path+keySuffix).Output()
			if err != nil {
				t.Fatal(err)
			}
			k, err := ParseKeyFile(out)
			if err != nil {
				t.Fatal(err)
			}
			o.Give(k)
		}
		if got := bodies(t, dir, o); !slices.Equal(got, []string{"for the officers"}) {
			t.Errorf("threshold %d: opened as %q", threshold, got)
		}
	}
}

// The ratchet's step is HMAC-SHA256, as another implementation has it, and does not go back.
func TestRatchetStep(t *testing.T) {
	t.Parallel()
	first := [keySize]byte{1, 2, 3, 31: 9}
	reference := func(key []byte, label byte) []byte {
		m := hmac.New(sha256.New, key)
		m.Write([]byte{label})
		return m.Sum(nil)
	}
	c := chain{key: first}
	key := first[:]
	for step := uint64(1); step < 5; step++ {
		n, message := c.next()
		if n != step || !bytes.Equal(message[:], reference(key, 1)) {
			t.Errorf("step %d: n %d, %x", step, n, message)
		}
		if key = reference(key, 2); !bytes.Equal(c.key[:], key) {
			t.Errorf("step %d: the next key is %x", step, c.key)
		}
	}
}

func TestSealingDoesNotAllocate(t *testing.T) {
	enc, stamp := newEncoder("gate-1"), appendTime(nil, time.Now())
	enc.hasher = newHasher(make([]byte, hashKeySize))
	c := &chain{name: "default/2026-07-30-1"}
	// The key of each message has a cipher of its own.
	for level, most := range map[Level]float64{LevelLink: 0, LevelContent: 0, LevelSealed: 1} {
		e := secretStanza(1, strings.Repeat("word ", 60))
		e.Level = level
		if level != LevelSealed {
			c = nil
		}
		enc.event(&e, stamp, c)
		if n := testing.AllocsPerRun(100, func() { enc.buf = enc.buf[:0]; enc.event(&e, stamp, c) }); n > most {
			t.Errorf("level %s allocates %v times", level, n)
		}
		c = &chain{name: "default/2026-07-30-1"}
	}
}

// TestOneOfficerTwice: with a threshold nobody gets two shares, in whatever file he is named.
func TestOneOfficerTwice(t *testing.T) {
	t.Parallel()
	a, b := officer(t), officer(t)
	file := filepath.Join(t.TempDir(), "officers")
	write(t, file, []byte(a.Recipient().String()+"\n"))
	for _, c := range []struct {
		sealing Sealing
		fine    bool
	}{
		{Sealing{Recipients: recipients(a, b, a), Threshold: 2}, false},
		{Sealing{Recipients: recipients(a), RecipientsFile: file, Threshold: 2}, false},
		{Sealing{Recipients: recipients(b), RecipientsFile: file, Threshold: 2}, true},
		{Sealing{Recipients: recipients(a, b, a)}, true},
	} {
		if _, err := c.sealing.withDefaults().officers(); (err == nil) != c.fine {
			t.Errorf("%+v: %v", c.sealing, err)
		}
	}
}

// TestNoKeyForThePeriod: with on_failure: pass, what passes while no key can be made is recorded without its content, not under a key
// whose time is over.
func TestNoKeyForThePeriod(t *testing.T) {
	t.Parallel()
	dir, d := t.TempDir(), newTestDisk()
	clock := &hand{at: time.Date(2026, 7, 30, 12, 0, 0, 0, time.UTC)}
	l := openWith(t, Config{Dir: dir, OnFailure: Pass, Sealing: Sealing{Recipients: recipients(officer(t))}}, d, clock.now)
	appendAll(t, l, []Event{secretStanza(1, "one")})
	d.set(func(d *testDisk) { d.noProof = errors.New("bad sector") })
	clock.turn(24 * time.Hour)
	appendAll(t, l, []Event{secretStanza(2, "two")})
	d.set(func(d *testDisk) { d.noProof = nil })
	closeLog(t, l)
	if lines := sealedLines(t, dir); len(lines) != 1 || lines[0].Stanza.ID != "purple00000001" {
		t.Errorf("%d are sealed", len(lines))
	}
	for _, r := range records(t, dir) {
		if r.Stanza.ID == "purple00000002" && (r.Level != "metadata" || r.Asked != "sealed") {
			t.Errorf("level %s, asked %s", r.Level, r.Asked)
		}
	}
}

// TestKeyNumbers: whatever stands in a folder, a key gets a name that an opener finds, or none.
func TestKeyNumbers(t *testing.T) {
	t.Parallel()
	for last, want := range map[string]int{"7": 8, "999999998": 999999999, "999999999": 0, "9223372036854775807": 0, "x": 1} {
		dir := t.TempDir()
		write(t, filepath.Join(dir, "2026-07-30-"+last+".age"), nil)
		if n, err := nextNumber(dir, "2026-07-30"); n != want || (err == nil) != (want > 0) {
			t.Errorf("after %s: %d, %v", last, n, err)
		}
	}
}

// TestHugeKeyFile: an officer's program reads no more of a key file than one can have.
func TestHugeKeyFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "2026-07-30-1.\x1b[2J.age")
	stanza := "-> x y\n" + strings.Repeat("A", 60) + "\n"
	write(t, path, []byte("age-encryption.org/v1\n"+strings.Repeat(stanza, 2*maxKeyFile/len(stanza))))
	if _, err := decrypt(path, []age.Identity{officer(t)}); err == nil || strings.Contains(err.Error(), "\x1b") {
		t.Errorf("%q", err)
	}
	k := KeyFile{V: 1, Key: "default/2026-07-30-1", Node: `"secret":null`, Secret: bytes.Repeat([]byte{7}, keySize), Share: 1, Of: 3, Needed: 2}
	if text, err := k.text(); err != nil {
		t.Error(err)
	} else if again, err := ParseKeyFile(text); err != nil || fmt.Sprint(again) != fmt.Sprint(k) {
		t.Errorf("%s reads as %+v, %v", text, again, err)
	}
}

// TestDestroyFollowsNoLinkOut: root destroys keys in a directory that is another user's. Links of theirs lead it nowhere.
func TestDestroyFollowsNoLinkOut(t *testing.T) {
	t.Parallel()
	dir, away := t.TempDir(), filepath.Join(t.TempDir(), "shadow")
	write(t, away, []byte("root's"))
	folder := filepath.Join(dir, keysDir, "default")
	if err := os.MkdirAll(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(away, filepath.Join(folder, "2026-07-30-1.age")); err != nil {
		t.Fatal(err)
	}
	keys, err := SealingKeys(dir)
	if err != nil || len(keys) != 1 {
		t.Fatal(keys, err)
	}
	if err := keys[0].Destroy(); err == nil {
		t.Error("a link was destroyed like a key")
	}
	if text, err := os.ReadFile(away); err != nil || string(text) != "root's" {
		t.Errorf("behind the link is %q, %v", text, err)
	}
}
