package audit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// found lists the seqs that a query finds.
func found(t testing.TB, dir string, q Query) (seqs []uint64) {
	t.Helper()
	err := Search(context.Background(), dir, q, func(_ []byte, r Record) error {
		seqs = append(seqs, r.Seq)
		return nil
	})
	if err != nil && !errors.As(err, new(*DamageError)) {
		t.Fatal(err)
	}
	return seqs
}

// variedRecord is one with something to find: a few events of each case among many others.
func variedRecord(t testing.TB) (dir string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "audit")
	l := open(t, Config{Dir: dir, SegmentBytes: 320 << 10})
	for n := range 28 {
		batch := longStanzas(n*10, 10)
		if n%17 == 3 {
			e := &batch[7]
			e.From, e.To, e.Remote = "zoë@corp.example/x", "carol@chat.deep.partner.example", "deep.partner.example"
			e.Stanza.Class, e.Decision.Effect, e.Decision.Rule, e.Stanza.ID = []string{"file", "call"}, "deny", `no "files"`, fmt.Appendf(nil, "odd-%d", n)
		}
		appendAll(t, l, batch)
		if n%20 == 5 {
			l.Note(Event{Kind: LinkFail, Remote: "down.example", Step: "dns", Error: "no such host"})
		}
	}
	closeLog(t, l)
	return dir
}

// indexedQueries ask for what variedRecord has and has not.
func indexedQueries(t testing.TB, dir string) (all []Query) {
	t.Helper()
	var one Record
	if err := Search(context.Background(), dir, Query{Class: "file", Limit: 1}, func(_ []byte, r Record) error { one = r; return nil }); err != nil {
		t.Fatal(err)
	}
	return []Query{
		{}, {From: "zoë@corp.example"}, {From: "Zoë@Corp.example/x"}, {From: "zoë@corp.example/y"}, {From: "corp.example"},
		{To: "carol@chat.deep.partner.example"}, {To: "chat.deep.partner.example"}, {User: "carol@chat.deep.partner.example"}, {User: "nobody@corp.example"},
		{Domain: "deep.partner.example"}, {Domain: "*.partner.example"}, {Domain: "*.deep.partner.example"}, {Domain: "down.example"}, {Domain: "*.example"},
		{Class: "call"}, {Class: "text", Effect: "deny"}, {Effect: "deny"}, {Rule: `no "files"`}, {Rule: "files"},
		{Kind: "link.fail"}, {Kind: "link.*"}, {Kind: "li*"}, {Kind: "*"}, {Kind: "link.up"}, {Kind: "audit.*"},
		{ID: one.ID.String()}, {ID: strings.ToLower(one.ID.String())}, {ID: "odd-20"}, {ID: "ODD-20"}, {ID: "purple00000100"},
		{Since: one.Time}, {Until: one.Time}, {Since: one.Time, Until: one.Time.Add(1), Effect: "deny"}, {Text: "no such"}, {Effect: "deny", Limit: 2},
	}
}

// TestIndexedIsTheSame: an index changes what is read, and nothing of what is found, in either form of a segment.
func TestIndexedIsTheSame(t *testing.T) {
	t.Parallel()
	dir := variedRecord(t)
	queries := indexedQueries(t, dir)
	var want [][]uint64
	for _, q := range queries {
		want = append(want, found(t, dir, q))
	}
	check := func(state string) {
		t.Helper()
		for i, q := range queries {
			if got := found(t, dir, q); !slices.Equal(got, want[i]) {
				t.Errorf("%s: %+v finds %d events, want %d", state, q, len(got), len(want[i]))
			}
		}
	}
	did, err := MakeIndexes(t.Context(), Config{Dir: dir}, false)
	if err != nil || did.Made < 2 || did.Kept != 0 || len(did.None)+len(did.Wrong) != 0 {
		t.Fatalf("%+v, %v", did, err)
	}
	check("plain")
	packAll(t, dir)
	check("compressed")
	if again, err := MakeIndexes(t.Context(), Config{Dir: dir}, true); err != nil || again.Kept != did.Made || again.Made+len(again.Wrong) != 0 {
		t.Errorf("made anew of the compressed form they are %+v, %v", again, err)
	}
	if r, err := Verify(dir); err != nil || !r.OK() {
		t.Errorf("%v, %v", r.Faults, err)
	}
}

// TestIndexSparesReading: what an index rules out is not read, not even by accident.
func TestIndexSparesReading(t *testing.T) {
	t.Parallel()
	dir := variedRecord(t)
	if _, err := MakeIndexes(t.Context(), Config{Dir: dir}, false); err != nil {
		t.Fatal(err)
	}
	m := newMatcher(Query{Rule: `no "files"`})
	tree, closer, err := openHashes(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer closer.Close()
	parts, ok := m.plan(dir, 1, tree, nil)
	size := segmentBytes(t, dir, 1)
	read := int64(0)
	for _, p := range parts {
		read += p.end - p.start
	}
	if !ok || read == 0 || read == int64(len(size)) {
		t.Errorf("%d of %d bytes are read: %v, %v", read, len(size), parts, ok)
	}
	if parts, ok := newMatcher(Query{User: "nobody@corp.example"}).plan(dir, 1, tree, nil); !ok || len(parts) != 0 {
		t.Errorf("for nobody %v are read, %v", parts, ok)
	}
}

// TestIndexThatLies: an index that is broken, stale, or another segment's is not believed, and made anew.
func TestIndexThatLies(t *testing.T) {
	t.Parallel()
	for name, lie := range map[string]func(t *testing.T, dir string){
		"cut": func(t *testing.T, dir string) {
			alter(t, indexPath(dir, 1), func(b []byte) []byte { return b[:len(b)-1] })
		},
		"longer": func(t *testing.T, dir string) {
			alter(t, indexPath(dir, 1), func(b []byte) []byte { return append(b, 0) })
		},
		"empty": func(t *testing.T, dir string) { write(t, indexPath(dir, 1), nil) },
		"of the second": func(t *testing.T, dir string) {
			b, err := os.ReadFile(indexPath(dir, 2))
			if err != nil {
				t.Fatal(err)
			}
			write(t, indexPath(dir, 1), b)
		},
		"without terms, sums and all": func(t *testing.T, dir string) {
			write(t, indexPath(dir, 1), emptied(t, dir, func(h *indexHead) { h.leaves = [32]byte{} }))
		},
		"of fewer bytes, sums and all": func(t *testing.T, dir string) {
			write(t, indexPath(dir, 1), emptied(t, dir, func(h *indexHead) { h.blocks = h.blocks[:1]; h.size = uint64(h.blocks[0].end) }))
		},
		"of a segment that was changed": func(t *testing.T, dir string) {
			alter(t, filepath.Join(dir, segmentName(1)), func(b []byte) []byte {
				return append(b, bytes.Clone(b[:bytes.IndexByte(b, '\n')+1])...)
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := variedRecord(t)
			want := found(t, dir, Query{Effect: "deny"})
			if _, err := MakeIndexes(t.Context(), Config{Dir: dir}, false); err != nil {
				t.Fatal(err)
			}
			lie(t, dir)
			if got := found(t, dir, Query{Effect: "deny"}); !slices.Equal(got, want) {
				t.Errorf("found %v, want %v", got, want)
			}
			did, err := MakeIndexes(t.Context(), Config{Dir: dir}, false)
			if err != nil || len(did.Wrong)+len(did.None) != 1 {
				t.Errorf("%+v, %v", did, err)
			}
		})
	}
}

func alter(t *testing.T, path string, f func([]byte) []byte) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	write(t, path, f(b))
}

// emptied makes an index of segment 1 with right sums over wrong contents: it has no terms.
func emptied(t *testing.T, dir string, f func(h *indexHead)) []byte {
	t.Helper()
	x, err := openIndex(dir, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	n := indexer{head: x.head}
	leaves := n.head.leaves
	f(&n.head)
	b := n.encode() // of no leaves
	sum := n.head.leaves
	if sum == leaves {
		t.Fatal("the leaves are the same")
	}
	return b
}

// TestIndexCheckedAgainstTheLines: one that leaves out terms and is sound otherwise is found by audit index only.
func TestIndexCheckedAgainstTheLines(t *testing.T) {
	t.Parallel()
	dir := variedRecord(t)
	if _, err := MakeIndexes(t.Context(), Config{Dir: dir}, false); err != nil {
		t.Fatal(err)
	}
	sound, err := os.ReadFile(indexPath(dir, 1))
	if err != nil {
		t.Fatal(err)
	}
	x, err := openIndex(dir, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	short := indexer{head: x.head}
	short.edge = edgeOf(t, dir, 1)
	write(t, indexPath(dir, 1), short.encode())
	did, err := MakeIndexes(t.Context(), Config{Dir: dir}, true)
	if err != nil || !slices.Equal(did.Wrong, []string{"00000001.idx"}) {
		t.Errorf("%+v, %v", did, err)
	}
	if again, err := os.ReadFile(indexPath(dir, 1)); err != nil || !bytes.Equal(again, sound) {
		t.Errorf("it was not made anew, %v", err)
	}
}

// TestForgedIndex: one that leaves out terms, with right sums and of the right lines, hides nothing from who has the gate's key, is told
// of, and made anew.
func TestForgedIndex(t *testing.T) {
	t.Parallel()
	dir := variedRecord(t)
	q := Query{Effect: "deny"}
	want := found(t, dir, q)
	c := Config{Dir: dir}
	if _, err := MakeIndexes(t.Context(), c, false); err != nil {
		t.Fatal(err)
	}
	if names, checked, err := Unvouched(c); err != nil || len(names) != 0 || !checked {
		t.Fatalf("%v %v %v", names, checked, err)
	}
	vouched, err := os.ReadFile(indexPath(dir, 1))
	if err != nil {
		t.Fatal(err)
	}
	x, err := openIndex(dir, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	short := indexer{head: x.head, edge: edgeOf(t, dir, 1)}
	forged := short.encode()
	for name, content := range map[string][]byte{
		"without": forged, "with another's": append(slices.Clone(forged), x.mac...), "with none": append(slices.Clone(forged), make([]byte, 32)...),
	} {
		write(t, indexPath(dir, 1), content)
		if got := found(t, dir, q); !slices.Equal(got, want) {
			t.Errorf("%s: found %v, want %v", name, got, want)
		}
		if got := found(t, dir, Query{Effect: "deny", Secrets: t.TempDir()}); len(got) >= len(want) {
			t.Errorf("%s: without the key, the forgery hides nothing", name)
		}
		if names, checked, err := Unvouched(c); err != nil || !slices.Equal(names, []string{"00000001.idx"}) || !checked {
			t.Errorf("%s: %v %v %v", name, names, checked, err)
		}
		if names, checked, err := Unvouched(Config{Dir: dir, Secrets: t.TempDir()}); err != nil || len(names) != 2 || checked {
			t.Errorf("%s: without the key %v %v %v", name, names, checked, err)
		}
		did, err := MakeIndexes(t.Context(), c, false)
		if err != nil || !slices.Equal(did.Wrong, []string{"00000001.idx"}) {
			t.Errorf("%s: %+v, %v", name, did, err)
		}
		if again, err := os.ReadFile(indexPath(dir, 1)); err != nil || !bytes.Equal(again, vouched) {
			t.Errorf("%s: it was not made anew, %v", name, err)
		}
	}
	write(t, indexPath(dir, 1), vouched[:len(vouched)-32])
	if did, err := MakeIndexes(t.Context(), Config{Dir: dir, Secrets: t.TempDir()}, true); err != nil || did.Kept != 2 {
		t.Errorf("a copy's check: %+v, %v", did, err)
	}
	if did, err := MakeIndexes(t.Context(), c, false); err != nil || did.Made != 1 || did.Kept != 1 {
		t.Errorf("one that was right, and made without the key: %+v, %v", did, err)
	}
}

func edgeOf(t *testing.T, dir string, number int) (edge []subtree) {
	t.Helper()
	leaf := newLeafHasher()
	for line := range bytes.Lines(segmentBytes(t, dir, number)) {
		line = bytes.TrimSuffix(line, []byte("\n"))
		h, ok := parseHead(line)
		if !ok {
			t.Fatalf("%q", line)
		}
		edge = grow(edge, subtree{at: h.seq - 1, hash: leaf.of(line)})
	}
	return edge
}

// TestDamageIsNotIndexed: a segment with a line that cannot be read is read by each search, so that each tells of it.
func TestDamageIsNotIndexed(t *testing.T) {
	t.Parallel()
	dir := variedRecord(t)
	alter(t, filepath.Join(dir, segmentName(1)), func(b []byte) []byte {
		b[bytes.IndexByte(b, '\n')+1] = '#'
		return b
	})
	did, err := MakeIndexes(t.Context(), Config{Dir: dir}, false)
	if err != nil || !slices.Equal(did.None, []string{segmentName(1)}) {
		t.Errorf("%+v, %v", did, err)
	}
	var damage *DamageError
	if err := Search(t.Context(), dir, Query{User: "nobody@corp.example"}, func([]byte, Record) error { return nil }); !errors.As(err, &damage) || damage.First != "00000001.jsonl:2" {
		t.Errorf("%v", err)
	}
}

// TestIndexesGo: those of segments that are gone, and of the one that is written to, are not kept.
func TestIndexesGo(t *testing.T) {
	t.Parallel()
	dir := variedRecord(t)
	numbers, _ := segments(dir)
	write(t, indexPath(dir, 77), []byte("x"))
	write(t, indexPath(dir, numbers[len(numbers)-1]), []byte("x"))
	write(t, filepath.Join(dir, "1.idx"), []byte("not ours"))
	if _, err := MakeIndexes(t.Context(), Config{Dir: dir}, false); err != nil {
		t.Fatal(err)
	}
	var left []string
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		if filepath.Ext(e.Name()) == indexSuffix {
			left = append(left, e.Name())
		}
	}
	want := []string{"00000001.idx", "00000002.idx"}
	if len(numbers) != 3 || !slices.Equal(left, append(want, "1.idx")) {
		t.Errorf("of segments %v there are %v", numbers, left)
	}
}

// FuzzIndex changes an index. It may be believed or not; what is found is the same, unless all of its sums were made to match, which
// chance does not do.
func FuzzIndex(f *testing.F) {
	dir := variedRecord(f)
	if _, err := MakeIndexes(f.Context(), Config{Dir: dir}, false); err != nil {
		f.Fatal(err)
	}
	sound, err := os.ReadFile(indexPath(dir, 1))
	if err != nil {
		f.Fatal(err)
	}
	q := Query{Effect: "deny"}
	want := found(f, dir, q)
	for at := 0; at < len(sound); at += len(sound)/9 + 1 {
		f.Add(uint(at), []byte{0xff, 0xff, 0xff, 0xff}, false)
		f.Add(uint(at), []byte{}, true)
	}
	f.Add(uint(len(indexMagic)+4*8+32), []byte{0xff, 0xff, 0xff, 0xff}, false) // the number of blocks
	f.Fuzz(func(t *testing.T, at uint, b []byte, cut bool) {
		changed := slices.Clone(sound)
		n := int(at % uint(len(sound)))
		copy(changed[n:], b)
		if cut {
			changed = append(changed[:n], b...)
		}
		write(t, indexPath(dir, 1), changed)
		if got := found(t, dir, q); !slices.Equal(got, want) {
			t.Errorf("found %v, want %v", got, want)
		}
	})
}

// FuzzTerms reads lines whichever way they are written. What a query would find in one is among its terms, or the line has none.
func FuzzTerms(f *testing.F) {
	head := `{"v":1,"seq":1,"time":"2026-07-30T12:00:00.000000000Z","id":"01J8ZK3V5N0000000000000000","node":"n","kind":"link.fail","code":1`
	for _, rest := range []string{
		`,"from":"a@b.example/c","to":"d.example","local":"x","remote":"y.z","stanza":{"id":"i","class":["p","q"]},"decision":{"effect":"deny","rule":"r"}}`,
		`,"From":"a@b.example"}`, `,"fr\u006fm":"a@b"}`, `, "from":"a@b"}`, `,"from":"a\u0062@\ud83d\ude00","from":"c@d"}`, `,"stanza":{"class":[["x"],{"rule":"y"}]}}`, `,"from":null,"of":[[1,2],[3,4]]}`,
		`,"stanza":{"ID":"x"}}`, `,"decision":{"rule":"` + "\xff" + `"}}`, `,"decision":[]}`, `,"a":{}}`, `,"ſtanza":{"id":"x"}}`,
	} {
		f.Add([]byte(head + rest))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		h, ok := parseHead(line)
		if !ok {
			return
		}
		terms := map[termHash]bool{}
		if !eachTerm(line, h, func(t termHash) { terms[t] = true }) {
			return
		}
		r, err := ParseRecord(line)
		if err != nil {
			return
		}
		for _, q := range []Query{
			{From: r.From}, {From: domainOf(r.From)}, {To: r.To}, {User: r.From}, {User: r.To}, {Domain: r.Local}, {Domain: r.Remote}, {Domain: domainOf(r.To)},
			{Domain: "*." + r.Remote}, {Effect: r.Decision.Effect}, {Rule: r.Decision.Rule}, {Kind: string(h.kind)}, {Class: strings.Join(r.Stanza.Class[:min(len(r.Stanza.Class), 1)], "")},
		} {
			m := newMatcher(q)
			if reflect.DeepEqual(q, Query{}) || !m.head(h) || !m.record(&r) {
				continue
			}
			for _, group := range m.terms() {
				if !slices.ContainsFunc(group, func(t termHash) bool { return terms[t] }) {
					t.Errorf("%+v would find a line whose terms do not say so", q)
				}
			}
		}
		if r.Stanza.ID != "" && !terms[termOf(ofStanza, r.Stanza.ID)] {
			t.Error("the stanza's id is not among the terms")
		}
	})
}

// TestLeavesOf: the sum over a range of lines is the same from the lines and from the tree.
func TestLeavesOf(t *testing.T) {
	t.Parallel()
	dir := variedRecord(t)
	tree, closer, err := openHashes(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer closer.Close()
	leaves := tree.leaves
	for _, r := range [][2]int64{{0, 1}, {0, 8}, {1, 8}, {3, 4}, {5, 200}, {0, leaves}, {leaves - 3, leaves}} {
		var edge []subtree
		for at := r[0]; at < r[1]; at++ {
			h, err := tree.leaf(at)
			if err != nil {
				t.Fatal(err)
			}
			edge = grow(edge, subtree{at: uint64(at), hash: h})
		}
		if sum, err := tree.leavesOf(r[0], r[1]); err != nil || sum != sumOf(edge) {
			t.Errorf("leaves %v: %v", r, err)
		}
	}
}

// TestIndexWithHoles: a file in the place of an index that claims more blocks than memory has, and is as long as that asks for, is not believed.
func TestIndexWithHoles(t *testing.T) {
	t.Parallel()
	dir := sound(t)
	path := indexPath(dir, 1)
	fixed := make([]byte, indexFixed)
	copy(fixed, indexMagic)
	copy(fixed[indexFixed-4:], "\xff\xff\xff\xff")
	write(t, path, fixed)
	if err := os.Truncate(path, 1<<40); err != nil {
		t.Skip(err) // not every file system has room for a hole
	}
	found := 0
	if err := Search(t.Context(), dir, Query{User: "alice@corp.example"}, func([]byte, Record) error { found++; return nil }); err != nil || found != 10 {
		t.Errorf("%d found, %v", found, err)
	}
	if did, err := MakeIndexes(t.Context(), Config{Dir: dir}, false); err != nil || len(did.Wrong) != 1 {
		t.Errorf("%+v, %v", did, err)
	}
}
