package policy

import (
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// faultsOfLoad loads a directory and gives its faults as lines, with the directory cut off.
func faultsOfLoad(t *testing.T, files map[string]string, base Data) []string {
	t.Helper()
	d := dir(t, files)
	_, err := New(Config{Dir: d}, base)
	if err == nil {
		return nil
	}
	var faults Faults
	if !errors.As(err, &faults) {
		t.Fatalf("%T is not Faults: %v", err, err)
	}
	return strings.Split(strings.ReplaceAll(err.Error(), d+string(filepath.Separator), ""), "\n")
}

func TestLoadFaults(t *testing.T) {
	t.Parallel()
	const stanza, link = "package sallyport.stanza\n\n", "package sallyport.link\n\n"
	for _, test := range []struct {
		name  string
		files map[string]string
		want  []string // each begins a line
	}{
		{"syntax", map[string]string{"a.rego": stanza + "deny contains {\n"}, []string{"a.rego:4: "}},
		{"empty", map[string]string{"a.rego": "# nothing\n"}, []string{"a.rego"}},
		{"unknown attribute", map[string]string{"a.rego": stanza + "deny contains {\"rule\": \"x\"} if input.stanza.knd == \"iq\""},
			[]string{"a.rego:3: undefined ref: input.stanza.knd; input.stanza has body, class, "}},
		{"unknown attribute behind an alias", map[string]string{"a.rego": stanza + "deny contains {\"rule\": \"x\"} if {\n\ts := input.stanza\n\ts.knd == \"iq\"\n}"},
			[]string{"a.rego:5: undefined ref: s.knd"}},
		{"attribute of another type", map[string]string{"a.rego": stanza + "deny contains {\"rule\": \"x\"} if input.stanza.size == \"big\""},
			[]string{"a.rego:3: match error"}},
		{"unknown attribute in a function's parameter", map[string]string{"a.rego": stanza + "deny contains {\"rule\": \"x\"} if f(input.stanza)\nf(s) if s.knd == \"iq\""},
			[]string{"a.rego:4: input.stanza has no \"knd\""}},
		{"unknown attribute behind aliases in functions", map[string]string{"a.rego": stanza + "deny contains {\"rule\": \"x\"} if { i := input; f([1, i]) }\nf([_, i]) := g(t) if { t := i.link }\ng(l) if {\n\tevery c in l.crt { c }\n}"},
			[]string{"a.rego:6: input.link has no \"crt\""}},
		{"unknown attribute in an else", map[string]string{"a.rego": stanza + "deny contains {\"rule\": \"x\"} if f(input.from)\nf(a) if { a.bare == \"\" } else := a.user"},
			[]string{"a.rego:4: input.from has no \"user\""}},
		{"unknown attribute in another file's function", map[string]string{"a.rego": stanza + "deny contains {\"rule\": \"x\"} if data.acme.f(input.to, 1)", "b.rego": "package acme\n\nf(a, _) if not a.locl"},
			[]string{"b.rego:3: input.to has no \"locl\""}},
		{"unknown attribute for object.get", map[string]string{"a.rego": stanza + "deny contains {\"rule\": \"x\"} if object.get(input.stanza, \"knd\", \"\") == \"\""},
			[]string{"a.rego:3: input.stanza has no \"knd\""}},
		{"unknown path for object.get", map[string]string{"a.rego": stanza + "deny contains {\"rule\": \"x\"} if object.get(input, [\"stanza\", \"kind\", \"x\"], \"\") == \"\""},
			[]string{"a.rego:3: input.stanza.kind has no \"x\""}},
		{"unknown attribute that is replaced", map[string]string{"a.rego": stanza + "deny contains {\"rule\": \"x\"} if e with input.stanz as {}\ne if input.stanza.kind == \"iq\""},
			[]string{"a.rego:3: input has no \"stanz\""}},
		{"unknown attribute in what replaces input", map[string]string{"a.rego": stanza + "deny contains {\"rule\": \"x\"} if e with input as {\"stanza\": {\"kind\": \"iq\", \"knd\": input.stanza.type}}\ne if input.stanza.kind == \"iq\""},
			[]string{"a.rego:3: input.stanza has no \"knd\""}},
		{"unknown attribute in what replaces a part", map[string]string{"a.rego": stanza + "deny contains {\"rule\": \"x\"} if input.link.id == \"\" with input.link as {\"tls\": {\"vers\": 1}}"},
			[]string{"a.rego:3: input.link.tls has no \"vers\""}},
		{"value that an attribute never has", map[string]string{"a.rego": stanza + "deny contains {\"rule\": \"x\"} if input.direction == \"outbound\"\n\ndeny contains {\"rule\": \"y\"} if not f(input)\n\nf(i) if {\n\tl := i.link\n\t\"TLS\" != l.channel\n}"},
			[]string{"a.rego:3: input.direction is never \"outbound\"; it is one of [\"in\" \"out\"]", "a.rego:9: input.link.channel is never \"TLS\""}},
		{"values that an attribute never has", map[string]string{"a.rego": stanza + "deny contains {\"rule\": \"x\"} if not input.link.proof in {\"pkix\", \"dialback-tls\"}\n\ndeny contains {\"rule\": \"y\"} if input.stanza.kind in [\"IQ\"]"},
			[]string{"a.rego:3: input.link.proof is never \"dialback-tls\"", "a.rego:5: input.stanza.kind is never \"IQ\""}},
		{"time zone that does not exist", map[string]string{"d.yaml": "hours: {zone: Mars, from: \"08:00\", to: \"18:00\"}"},
			[]string{"d.yaml:1: data.hours.zone: \"Mars\" is not known here"}},
		{"value that a list never has", map[string]string{"a.rego": stanza + "deny contains {\"rule\": \"x\"} if \"files\" in input.stanza.class"},
			[]string{"a.rego:3: input.stanza.class is never \"files\"; it is one of [\"admin\""}},
		{"stanza asked of a link", map[string]string{"a.rego": link + "deny contains {\"rule\": \"x\"} if input.stanza.kind == \"iq\""},
			[]string{"a.rego:3: input.stanza.kind is not known when data.sallyport.link.decision is asked for"}},
		{"from asked of a link through a rule", map[string]string{"a.rego": link + "deny contains {\"rule\": \"x\"} if data.acme.x", "b.rego": "package acme\n\nx if input.from.local == \"x\""},
			[]string{"b.rego:3: input.from.local is not known"}},
		{"network", map[string]string{"a.rego": stanza + "deny contains {\"rule\": \"x\"} if http.send({\"url\": \"http://x\", \"method\": \"get\"}).status_code == 200"},
			[]string{"a.rego:3: undefined function http.send"}},
		{"environment", map[string]string{"a.rego": stanza + "deny contains {\"rule\": \"x\"} if opa.runtime().env.HOME"},
			[]string{"a.rego:3: undefined function opa.runtime"}},
		{"chance", map[string]string{"a.rego": stanza + "deny contains {\"rule\": \"x\"} if rand.intn(\"x\", 2) == 1"},
			[]string{"a.rego:3: undefined function rand.intn"}},
		{"rule that is not there", map[string]string{"a.rego": stanza + "deny contains data.sallyport.peer.refusl"},
			[]string{"a.rego:3: nothing defines data.sallyport.peer.refusl"}},
		{"document that is not there", map[string]string{"a.rego": stanza + "deny contains {\"rule\": \"x\"} if not data.grups.staff[input.from.bare]"},
			[]string{"a.rego:3: no document gives data.grups"}},
		{"base without what it needs", map[string]string{"a.rego": "package sallyport.inside\n\nrefusal := {\"rule\": \"x\"} if false"},
			[]string{"base/link.rego:60: nothing defines data.sallyport.inside.domain"}},
		{"package replaced without its entry point", map[string]string{"a.rego": stanza + "first := 1"},
			[]string{"nothing defines data.sallyport.stanza.decision"}},
		{"set that becomes a value", map[string]string{"a.rego": stanza + "deny := {\"rule\": \"x\"}"}, []string{"a.rego:3: conflicting rules data.sallyport.stanza.deny"}},
		{"two faults in two files", map[string]string{"a.rego": stanza + "x if {\n", "b.rego": stanza + "y if {\n"}, []string{"a.rego:4: ", "b.rego:4: "}},
		{"unused variable", map[string]string{"a.rego": stanza + "deny contains {\"rule\": \"x\"} if { y := 1; input.direction == \"in\" }"}, []string{"a.rego:3: assigned var y unused"}},
		{"data under the rules", map[string]string{"d.json": `{"sallyport": {"stanza": {}}}`}, []string{"data.sallyport is given"}},
		{"data under an operator's rule", map[string]string{"a.rego": "package acme\n\nx := 1", "d.json": `{"acme": {"x": {"y": 1}}}`}, []string{"a.rego:3: conflicting rule for data path acme/x"}},
		{"the configuration's key again", map[string]string{"d.yaml": "federation: open\npeers:\n  partner.example: {proof: dane, files: true}\n"},
			[]string{"d.yaml:1: data.federation is given by the configuration too", "d.yaml:3: data.peers[\"partner.example\"].proof is given by the configuration too"}},
		{"the same key in two files", map[string]string{"a.yaml": "groups: {staff: {a@corp.example: true}}", "sub/b.json": `{"groups": {"staff": {"a@corp.example": 1}}}`},
			[]string{"sub/b.json:1: data.groups.staff[\"a@corp.example\"] is given by a.yaml too"}},
		{"the same key twice in JSON", map[string]string{"d.json": "{\"x\": {\n\"a\": 1,\n\"a\": 2}}"}, []string{"d.json:3: the key \"a\" stands here for the second time"}},
		{"the same key twice in YAML", map[string]string{"d.yaml": "x:\n  a: 1\n  a: 2\n"}, []string{"d.yaml:3: the key \"a\" stands here for the second time"}},
		{"JSON that is none", map[string]string{"d.json": "{\"x\":\n}"}, []string{"d.json:2: "}},
		{"JSON and more", map[string]string{"d.json": "{}\n{}"}, []string{"d.json:2: something stands behind the value"}},
		{"YAML that is none", map[string]string{"d.yaml": "x: 1\n y: [\n"}, []string{"d.yaml:2: "}},
		{"YAML of two documents", map[string]string{"d.yaml": "x: 1\n---\ny: 1\n"}, []string{"d.yaml: holds more than one document"}},
		{"YAML aliases", map[string]string{"d.yaml": "x: &a 1\ny: *a\n"}, []string{"d.yaml:2: aliases (*a) are not taken"}},
		{"YAML merge", map[string]string{"d.yaml": "y:\n  <<: {z: 1}\n"}, []string{"d.yaml:2: a key must be plain text"}},
		{"YAML infinity", map[string]string{"d.yaml": "y: .inf\n"}, []string{"d.yaml:1: .inf is not a number that JSON has"}},
		{"YAML tag", map[string]string{"d.yaml": "y: !!binary aGk=\n"}, []string{"d.yaml:1: the tag !!binary is not taken"}},
		{"JSON too deep", map[string]string{"d.json": "{\"x\":\n" + strings.Repeat("[", 2_000_000)}, []string{"d.json:2: objects and lists lie in each other more than 1000 deep"}},
		{"an ending in capitals", map[string]string{"A.REGO": stanza}, []string{"A.REGO: would be read if its ending were in lower case"}},
		{"nothing and something", map[string]string{"a.yaml": "x:\n", "b.yaml": "x: 1\n"}, []string{"b.yaml:1: data.x is given by a.yaml too"}},
		{"a list at the root", map[string]string{"d.json": "[]"}, []string{"d.json:1: must be an object"}},
		{"names that would never match", map[string]string{"d.json": `{"internal": {"users": {"c\u0065\u0301o@corp.example": 1, "cfo\u200b@corp.example": 1, "cé\u200co@corp.example": 1},
			"domains": {"*.mu\u0308ller.example": 1, "müller.example": 1}, "rooms": {"ｂoard@conference.corp.example": 1}}, "groups": {"g": {"a\u202e@corp.example": 1}}, "peers": {"ﬁrst.example": {}}}`},
			[]string{`d.json:1: data.internal.users["c\u00e9\u200co@corp.example"]: would never match: not a bare address`,
				`d.json:1: data.internal.users["ce\u0301o@corp.example"]: would never match: as policy sees it this bare address is "céo@corp.example"`,
				`d.json:1: data.internal.users["cfo\u200b@corp.example"]: would`, `d.json:2: data.groups.g["a\u202e@corp.example"]: would never match`, `d.json:2: data.internal.domains["*.mu\u0308ller.example"]: would`,
				`d.json:2: data.internal.rooms["\uff42oard@conference.corp.example"]: would`, `d.json:2: data.peers["\ufb01rst.example"]: would`}},
		{"document whose name is a slip", map[string]string{"d.yaml": "flies: {default: none}\nhour: {}\nattachments: {}\n"},
			[]string{"d.yaml:1: data.flies: no rule reads it; did you mean files?", "d.yaml:2: data.hour: no rule reads it; did you mean hours?"}},
		{"key of a peer that is a slip", map[string]string{"d.yaml": "peers:\n  a.example: {dney: true, note: ours}\n", "r.rego": stanza},
			[]string{`d.yaml:2: data.peers["a.example"].dney: no rule reads it; did you mean deny?`}},
		{"document that is no object", map[string]string{"d.yaml": "freeze: true\ndlp: [a]\n"},
			[]string{"d.yaml:1: data.freeze is true, must be an object", `d.yaml:2: data.dlp is ["a"], must be an object`}},
		{"address in a list that would never match", map[string]string{"p.csv": "address,group\nkevin@corp.example,staff\nKEVIN@corp.example,staff\n"},
			[]string{`p.csv:3: data.groups.staff["KEVIN@corp.example"]: would never match`}},
		{"empty JSON", map[string]string{"d.json": " \n"}, []string{"d.json:1: is empty; write {}"}},
		{"JSON that was cut off", map[string]string{"d.json": "{\n\"x\": "}, []string{"d.json:2: ends in the middle of a value"}},
		{"empty Rego", map[string]string{"a.rego": "\n"}, []string{"a.rego: is empty; begin it with a package"}},
		{"what base checks", map[string]string{"d.json": `{"internal": {"usres": {}}}`}, []string{"d.json:1: data.internal.usres: nothing enforces that name"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got := faultsOfLoad(t, test.files, listedPeers())
			if len(got) < len(test.want) {
				t.Fatalf("got %q, want %q", got, test.want)
			}
			if strings.HasPrefix(test.name, "names") && len(got) != len(test.want) {
				t.Errorf("got %q", got)
			}
			for i, want := range test.want {
				if !strings.HasPrefix(got[i], want) {
					t.Errorf("fault %d is %q, want it to begin with %q", i, got[i], want)
				}
			}
		})
	}
}

// What is no file by itself: a link to one is read, as Kubernetes makes them; a link to a directory and a pipe are not passed over.
func TestLinksAndPipes(t *testing.T) {
	t.Parallel()
	outside := dir(t, map[string]string{"p.rego": noFiles, "q.json": `{"x": 1}`})
	d := dir(t, map[string]string{"..data/p.rego": noFiles})
	if err := os.Symlink("..data/p.rego", filepath.Join(d, "p.rego")); err != nil {
		t.Fatal(err)
	}
	in := between("out", "juliet@corp.example", "romeo@partner.example")
	in.Stanza.Payloads = []string{"jabber:x:oob|x"}
	if got := engine(t, Config{Dir: d}, listed()).Snapshot().Stanza(t.Context(), in); got.Rule != "no-files" {
		t.Errorf("behind a link: %+v", got)
	}
	if err := errors.Join(os.Symlink(outside, filepath.Join(d, "shared")), syscall.Mkfifo(filepath.Join(d, "z.json"), 0o600), os.Symlink("nowhere", filepath.Join(d, "y.rego"))); err != nil {
		t.Fatal(err)
	}
	_, err := New(Config{Dir: d}, listed())
	for _, want := range []string{"shared: is a link to a directory", "z.json: is not a file", "y.rego"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %s", err, want)
		}
	}
}

// What only looks like an unknown attribute is taken.
func TestKnownAttributes(t *testing.T) {
	t.Parallel()
	for _, rego := range []string{
		`deny contains {"rule": "x"} if f(input.stanza); f(s) if s.kind == "iq"`,
		`deny contains {"rule": "x"} if f(data.peers); f(s) if s.knd == "iq"`,
		`deny contains {"rule": "x"} if f(input.stanza.kind); f(s) if data.peers[s].knd`,
		`deny contains {"rule": "x"} if f({"knd": input.stanza}); f(s) if s.knd.kind == "iq"`,
		`deny contains {"rule": "x"} if { some k in ["kind"]; f(input.stanza[k]) }; f(s) if s.length == 1`,
		`deny contains {"rule": "x"} if { k := "kind"; s := input.stanza[k]; t := {"a": s}; t.a == "iq" }`,
		`deny contains {"rule": "x"} if f(input.stanza.payloads); f(s) if s[0] == "file"`,
		`deny contains {"rule": "x"} if f(input); f(s) if s.v == 1`,
		`deny contains {"rule": "x"} if { input.direction == "in"; input.link.channel != ""; input.link.proof in {"pkix", "dialback+tls"}; input.stanza.kind == input.stanza.type; "in" == input.direction }`,
		`deny contains {"rule": "x"} if { d := input.direction; data.peers[d] == "outbound"; input.stanza.type in {"anything"} }`,
		`deny contains {"rule": "x"} if object.get(data.peers, [input.remote.domain, "knd"], "") == ""`,
		`deny contains {"rule": "x"} if object.get(input.stanza, input.stanza.type, "") == ""`,
		`deny contains {"rule": "x"} if object.get(input.from, ["bare"], "") == ""`,
		`deny contains {"rule": "x"} if e with data.peers as {"knd": 1} with input.stanza as {"kind": "iq", "size": 3}; e if input.stanza.kind == "iq"`,
	} {
		rule := strings.ReplaceAll(rego, "; f(s)", "\n\nf(s)")
		rule = strings.ReplaceAll(rule, "; e if", "\n\ne if")
		if faults := faultsOfLoad(t, map[string]string{"a.rego": "package sallyport.stanza\n\n" + rule}, listed()); faults != nil {
			t.Errorf("%s\n%v", rule, faults)
		}
	}
}

// listedPeers leaves data.internal to the files.
func listedPeers() Data {
	d := listed()
	delete(d, "internal")
	return d
}

func TestConfigFaults(t *testing.T) {
	t.Parallel()
	for _, c := range []Config{{Mode: "enforced"}, {Timeout: -time.Second}, {Cache: -1}, {Dir: "/nonexistent/policy"}} {
		if _, err := New(c, nil); err == nil {
			t.Errorf("%+v was taken", c)
		}
	}
	if _, err := New(Config{}, Data{"peers": map[string]any{"x.example": map[string]any{"channel": func() {}}}}); err == nil {
		t.Error("data that is no data was taken")
	}
}

// What an operator adds stands beside base; what an operator defines again takes the package over.
func TestCompose(t *testing.T) {
	t.Parallel()
	in := between("out", "juliet@corp.example", "x@stranger.example")
	in.Stanza.Payloads = []string{"jabber:x:oob|x"}
	for _, test := range []struct{ name, rego, rule string }{
		{"member added", noFiles, "no-files"},
		{"package replaced", "package sallyport.stanza\n\ndecision := {\"effect\": \"allow\", \"rule\": \"mine\"}", "mine"},
		{"other package replaced", "package sallyport.peer\n\nrefusal := {\"rule\": \"closed\"}\n\nterms := floor\n\nfloor := {}\n\nentry := data.peers[input.remote.domain]", "closed"},
		{"helper added to base's package", "package sallyport.stanza\n\nmine if true", "peer-not-listed"},
	} {
		s := engine(t, Config{Dir: dir(t, map[string]string{"sub/p.rego": test.rego, ".hidden.rego": "nonsense", "README.md": "nonsense", "p_test.rego": "nonsense"})}, listed()).Snapshot()
		if d := s.Stanza(t.Context(), in); d.Rule != test.rule {
			t.Errorf("%s: rule %s, want %s (%s)", test.name, d.Rule, test.rule, d.Reason)
		}
	}
}

// Configuration and files meet key by key, and numbers, days and nulls arrive as they were written.
func TestData(t *testing.T) {
	t.Parallel()
	d := dir(t, map[string]string{
		"a.yaml": "peers:\n  partner.example: {files: true}\nlimits: {bytes: 0x10, share: 0.5, day: 2027-06-30, none: ~, on: yes, list: [1, a]}\nempty:\n",
		"b.json": `{"peers": {"new.example": {}}, "big": 12345678901234567890}`,
		"c.yml":  "# nothing\n",
	})
	files, err := readSources(d)
	if err != nil {
		t.Fatal(err)
	}
	base := listedPeers()
	base["started"] = time.Date(2027, 6, 30, 0, 0, 0, 0, time.UTC)
	base["exactly"] = time.Date(2027, 6, 30, 1, 2, 3, 0, time.UTC)
	base["typed"] = struct{ N []int }{[]int{7}}
	data, err := mergeData(base, files.data)
	if err != nil {
		t.Fatal(err)
	}
	w, err := newWorld(data)
	if err != nil {
		t.Fatal(err)
	}
	for rego, want := range map[string]string{
		"data.peers":   `{"new.example": {}, "old.example": {"channel": "plaintext", "until": "2999-06-30"}, "partner.example": {"files": true, "proof": "pkix"}, "rival.example": {"deny": true}}`,
		"data.limits":  `{"bytes": 16, "day": "2027-06-30", "list": [1, "a"], "none": null, "on": "yes", "share": 0.5}`,
		"data.big":     `12345678901234567890`,
		"data.empty":   `null`,
		"data.typed":   `{"N": [7]}`,
		"data.started": `"2027-06-30"`,
		"data.exactly": `"2027-06-30T01:02:03Z"`,
	} {
		if got := w.root.Get(stringTerm(strings.TrimPrefix(rego, "data."))); got == nil || got.String() != want {
			t.Errorf("%s is %v, want %s", rego, got, want)
		}
	}
	if _, kept := base["peers"].(map[string]any)["new.example"]; kept {
		t.Error("the caller's data was changed")
	}
}

// The revision names rules and data, and nothing else.
func TestRevision(t *testing.T) {
	t.Parallel()
	files := map[string]string{"p.rego": noFiles, "d.json": `{"x": 1}`}
	revision := func(base Data, change map[string]string) string {
		all := maps.Clone(files)
		maps.Copy(all, change)
		return engine(t, Config{Dir: dir(t, all)}, base).Snapshot().Revision()
	}
	first := revision(listed(), nil)
	if again := revision(listed(), map[string]string{"p_test.rego": "package x"}); again != first {
		t.Errorf("the same policy elsewhere is %s and %s", first, again)
	}
	for name, other := range map[string]string{
		"rule":          revision(listed(), map[string]string{"p.rego": noFiles + "\n"}),
		"data":          revision(listed(), map[string]string{"d.json": `{"x": 2}`}),
		"configuration": revision(listedPeers(), nil),
	} {
		if other == first {
			t.Errorf("another %s is the same revision %s", name, first)
		}
	}
}

// OPA stays behind this door: no type of it in anything exported.
func TestNoGuestIsExported(t *testing.T) {
	t.Parallel()
	paths, err := filepath.Glob("*.go")
	if err != nil || len(paths) < 10 {
		t.Fatal(paths, err)
	}
	for _, path := range paths {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		guests := map[string]bool{}
		for _, imp := range file.Imports {
			if name := strings.Trim(imp.Path.Value, `"`); strings.Contains(name, "open-policy-agent") {
				guests[filepath.Base(name)] = true
			}
		}
		ast.FileExports(file)
		for _, decl := range file.Decls {
			if f, ok := decl.(*ast.FuncDecl); ok {
				f.Body = nil
			}
			ast.Inspect(decl, func(n ast.Node) bool {
				if sel, ok := n.(*ast.SelectorExpr); ok {
					if x, ok := sel.X.(*ast.Ident); ok && guests[x.Name] {
						t.Errorf("%s exports %s.%s", path, x.Name, sel.Sel.Name)
					}
				}
				return true
			})
		}
	}
}
