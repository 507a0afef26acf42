package policy

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
)

// writer writes random rules.
type writer struct {
	*rand.Rand
	vars  []string // that are bound where it writes
	names int
	rules []string // names of rules that may be named, each as data.gen.r0
	sets  []string
	funcs []string
	with  bool
	deep  int
}

func (g *writer) one(of ...string) string { return of[g.IntN(len(of))] }

func (g *writer) may(n int) bool { return g.IntN(n) == 0 }

func (g *writer) fresh() string {
	g.names++
	return fmt.Sprintf("v%d", g.names)
}

func (g *writer) scalar() string {
	return g.one("0", "1", "1.0", "2", `"iq"`, `"get"`, `"set"`, `"1"`, `"x"`, `"a"`, "true", "false", "null", `"message"`, `"0"`, "1e0")
}

func (g *writer) literal() string {
	switch g.IntN(9) {
	case 0:
		return "[]"
	case 1:
		return "{}"
	case 2:
		return "set()"
	case 3:
		return "[" + g.scalar() + ", " + g.scalar() + "]"
	case 4:
		return "{" + g.scalar() + ": " + g.scalar() + ", \"z\": " + g.scalar() + "}"
	case 5:
		return "{" + g.scalar() + ", " + g.scalar() + "}"
	}
	return g.scalar()
}

func (g *writer) input() string {
	return g.one("input.stanza.kind", "input.stanza.kind", "input.stanza.type", "input.stanza.size", "input.stanza.has_body", "input.stanza.payloads", "input.stanza.id", "input.stanza.lang", "input.link.tls.version", "input.direction", "input.stanza.payloads[_]", "input.stanza")
}

func (g *writer) key() string {
	switch g.IntN(6) {
	case 0:
		return "[" + g.input() + "]"
	case 1:
		return "[" + g.literal() + "]"
	case 2:
		return "[_]"
	case 3:
		if len(g.vars) > 0 {
			return "[" + g.one(g.vars...) + "]"
		}
	}
	return "[" + g.scalar() + "]"
}

func (g *writer) data() string {
	s := "data.acme"
	if g.may(30) {
		return s
	}
	if g.may(12) {
		s += g.key()
	} else {
		s += "." + g.one("get", "kind", "off", "nothing", "empty", "list", "obj", "none", "deep", "one", "zero", "arrs", "blank", "true")
	}
	for g.may(2) {
		s += g.key()
	}
	return s
}

func (g *writer) mixed() string {
	s := g.one("data.mix", "data.mix", "data.mix.sub", "data.mix.base", "data.mix.r", "data.mix.s", "data.mix.o", "data.mix.sub.q", "data.sallyport.ready[_].named", "data.sallyport.ready[_].sets", "data.sallyport.ready[_].marks", "data.sallyport.ready.one.marks", "data.sallyport.ready")
	for g.may(2) {
		s += g.key()
	}
	return s
}

func (g *writer) ref() string {
	switch n := g.IntN(10); {
	case n < 3 && len(g.rules) > 0:
		s := g.one(g.rules...)
		for g.may(3) {
			s += g.key()
		}
		return s
	case n < 5:
		return g.mixed()
	case n < 6:
		return g.input()
	}
	return g.data()
}

func (g *writer) term() string {
	if g.deep > 3 {
		return g.scalar()
	}
	g.deep++
	defer func() { g.deep-- }()
	switch n := g.IntN(20); {
	case n < 5:
		return g.ref()
	case n < 8:
		return g.input()
	case n < 12 && len(g.vars) > 0:
		return g.one(g.vars...)
	case n < 13:
		return "[" + g.term() + ", " + g.term() + "]"
	case n < 14:
		return "{" + g.term() + ": " + g.term() + "}"
	case n < 15 && g.may(2):
		return g.comprehension()
	case n < 16:
		return g.call()
	case n < 17:
		return g.literal()
	}
	return g.scalar()
}

func (g *writer) coll() string {
	switch g.IntN(5) {
	case 0:
		return g.literal()
	case 1:
		return "input.stanza.payloads"
	case 2:
		return g.comprehension()
	}
	return g.ref()
}

func (g *writer) call() string {
	if len(g.funcs) > 0 && g.may(3) {
		return g.one(g.funcs...) + "(" + g.term() + ")"
	}
	return strings.NewReplacer("A", g.term(), "B", g.term()).Replace(g.one("count(A)", `sprintf("%v", [A])`, "object.get(A, B, 1)", "A + B", "A / B", "sort(A)", "to_number(A)", `concat("", A)`,
		"startswith(A, B)", "max(A)", "object.union(A, B)", "(A == B)", "(A in B)", "is_string(A)", "json.marshal(A)", "lower(A)", "object.keys(A)", "(A != B)", "(A < B)", "$`{A}`",
		"type_name(A)", "union({A})", "time.now_ns()", "array.concat(A, B)"))
}

func (g *writer) comprehension() string {
	vars := g.vars
	body := g.body(1+g.IntN(2), "; ")
	head := g.term()
	s := ""
	switch g.IntN(3) {
	case 0:
		s = "[" + head + " | " + body + "]"
	case 1:
		s = "{" + head + " | " + body + "}"
	default:
		s = "{" + head + ": " + g.scalar() + " | " + body + "}"
	}
	g.vars = vars
	return s
}

func (g *writer) body(n int, sep string) string {
	var lines []string
	for range n {
		lines = append(lines, g.expr())
	}
	return strings.Join(lines, sep)
}

func (g *writer) bind() string {
	v := g.fresh()
	g.vars = append(append([]string{}, g.vars...), v)
	return v
}

func (g *writer) expr() string {
	if g.deep > 3 {
		return g.ref()
	}
	g.deep++
	defer func() { g.deep-- }()
	switch n := g.IntN(34); {
	case n < 6:
		return g.ref()
	case n < 9:
		return g.term() + g.one(" == ", " != ", " < ", " >= ", " = ", " == ") + g.term()
	case n < 13:
		t := g.term()
		return g.bind() + g.one(" := ", " := ", " = ") + t
	case n < 15:
		t := g.coll()
		return "some " + g.bind() + " in " + t
	case n < 16:
		t := g.coll()
		return "some " + g.bind() + ", " + g.bind() + " in " + t
	case n < 17:
		return g.term() + " in " + g.coll()
	case n < 19:
		return "not " + g.ref()
	case n < 20:
		return "not " + g.term() + " == " + g.term()
	case n < 21:
		return "not " + g.call()
	case n < 23:
		vars := g.vars
		s := g.coll()
		s = "every " + g.bind() + " in " + s + " { " + g.body(1+g.IntN(2), "; ") + " }"
		g.vars = vars
		return s
	case n < 25:
		return g.call()
	case n < 26:
		t := g.one(g.term(), "["+g.term()+", "+g.term()+"]")
		return "[" + g.bind() + ", " + g.bind() + "] := " + t
	case n < 27:
		return g.term()
	case n < 28:
		return g.ref() + " with input." + g.one("stanza.kind", "stanza.size", "stanza") + " as " + g.term()
	case n < 29 && g.with:
		return g.ref() + " with " + g.one("data.acme.get", "data.acme", "data.acme.obj", "data.mix.r", "count", "data.gen.f0") + " as " + g.term()
	case n < 30:
		return g.one("print(", "trace(") + g.term() + ")"
	case n < 31:
		t := g.term()
		return "walk(" + t + ", [_, " + g.bind() + "])"
	case n < 32:
		k := g.bind()
		return g.one("data.acme", "data.acme.obj", "data.mix", "data.acme.list", "data.mix.base") + "[" + k + "]" + g.one("", " == "+g.scalar(), g.key())
	case n < 33:
		return g.input() + " == " + g.term()
	}
	return g.scalar() + " = " + g.term()
}

func (g *writer) ifBody() string {
	if g.may(8) {
		return ""
	}
	return " if { " + g.body(1+g.IntN(3), "; ") + " }"
}

// rule writes one to three rules of a name.
func (g *writer) rule(i int) (lines []string) {
	name := fmt.Sprintf("r%d", i)
	emit := func(s string) { lines = append(lines, s) }
	val := func() string { return g.term() }
	head := func(f func() string) string { // the body is written first, so that its variables can stand in the head
		g.vars = nil
		b := g.ifBody()
		return f() + b
	}
	switch g.IntN(12) {
	case 11: // members of other sets
		for range 1 + g.IntN(2) {
			from := g.one("data.mix.s", "data.mix.sub.w", "data.sallyport.ready[_].sets", "data.sallyport.ready.one.sets", "data.mix.o")
			if len(g.sets) > 0 && !g.may(3) {
				from = g.one(g.sets...)
			}
			emit(name + g.one("", "", "[k]") + " contains m if " + g.one("some m in "+from, "some k, m in "+from, "m := "+from+"[k]", from+"[m]"))
		}
		g.sets = append(g.sets, "data.gen."+name)
	case 0, 1:
		for range 1 + g.IntN(3) {
			emit(head(func() string { return name + " := " + g.one(val(), `"same"`, "true") }))
		}
		if g.may(3) {
			emit("default " + name + " := " + g.literal())
		}
	case 2:
		for range 1 + g.IntN(2) {
			emit(head(func() string { return name }))
		}
	case 3:
		s := head(func() string { return name + " := " + val() })
		for range 1 + g.IntN(2) {
			g.vars = nil
			b := g.ifBody()
			s += " else := " + val() + b
		}
		emit(s)
	case 4, 5:
		for range 1 + g.IntN(3) {
			emit(head(func() string { return name + " contains " + val() }))
		}
		g.sets = append(g.sets, "data.gen."+name)
	case 6:
		for range 1 + g.IntN(3) {
			emit(head(func() string { return name + "[" + val() + "] := " + g.one(val(), `"same"`) }))
		}
	case 7:
		for range 1 + g.IntN(3) {
			emit(head(func() string { return name + "." + g.one("iq", "get", "x") + g.one("", "["+val()+"]") + " := " + val() }))
		}
	case 8:
		for range 1 + g.IntN(2) {
			emit(head(func() string { return name + "[" + val() + "]" + g.one("", ".x") + " contains " + val() }))
		}
	case 9:
		for range 1 + g.IntN(2) {
			emit(head(func() string { return name + "[" + val() + "]." + g.one("iq", "x") + " := " + val() }))
		}
	default:
		f := fmt.Sprintf("f%d", i)
		for range 1 + g.IntN(3) {
			arg := g.one("a", "a", "a", "a", `"iq"`, "1", "[a, _]", "_", `{"z": a}`)
			g.vars = nil
			if strings.Contains(arg, "a") {
				g.vars = []string{"a"}
			}
			b := g.ifBody()
			s := f + "(" + arg + ") := " + g.one(val(), "true", "false") + b
			for g.may(4) {
				if g.vars = nil; strings.Contains(arg, "a") {
					g.vars = []string{"a"}
				}
				b := g.ifBody()
				s += " else := " + val() + b
			}
			emit(s)
		}
		if g.may(4) {
			emit("default " + f + "(_) := " + g.scalar())
		}
		g.funcs = append(g.funcs, f)
		emit(head(func() string { return name + " := " + f + "(" + val() + ")" }))
		emit("default " + name + " := 7")
	}
	g.rules = append(g.rules, "data.gen."+name)
	return lines
}

func (g *writer) json(deep int) any {
	switch n := g.IntN(14); {
	case n < 2 && deep > 0:
		o := map[string]any{}
		for range g.IntN(4) {
			o[g.one("iq", "get", "set", "1", "0", "x", "message", "a", "z", "1.0", "true", "null")] = g.json(deep - 1)
		}
		return o
	case n < 4 && deep > 0:
		l := []any{}
		for range g.IntN(4) {
			l = append(l, g.json(deep-1))
		}
		return l
	case n < 5:
		return nil
	case n < 6:
		return false
	case n < 7:
		return true
	case n < 9:
		return json.Number(g.one("0", "1", "2", "1.0", "1e0", "3"))
	}
	return g.one("iq", "get", "set", "message", "1", "x", "")
}

func (g *writer) document(names ...string) map[string]any {
	o := map[string]any{}
	for _, n := range names {
		if g.may(4) {
			continue
		}
		switch n {
		case "off":
			o[n] = false
		case "nothing":
			o[n] = nil
		case "empty":
			o[n] = map[string]any{}
		case "blank":
			o[n] = []any{}
		case "list", "arrs":
			o[n] = []any{g.json(1), g.json(2)}
		case "obj", "base":
			o[n] = map[string]any{"iq": g.json(1), "1": g.json(1), "x": g.json(0), "get": g.json(1)}
		default:
			o[n] = g.json(2)
		}
	}
	return o
}

// modules writes packages and the data below them.
func (g *writer) modules() (files map[string][]string, data map[string]any) {
	files = map[string][]string{}
	acme := g.document("get", "kind", "off", "nothing", "empty", "list", "obj", "deep", "one", "zero", "arrs", "blank", "true")
	mix := map[string]any{"base": g.document("iq", "x", "get", "obj", "off")}
	if g.may(2) {
		mix["iq"] = g.json(2)
	}
	data = map[string]any{"acme": acme, "mix": mix}
	g.deep = 1
	plain := func(name string, of ...string) {
		lines := []string{"package " + name}
		for _, f := range of {
			if g.may(5) {
				continue
			}
			body := ""
			switch g.IntN(7) {
			case 0:
				body = " if " + g.data()
			case 1:
				body = " if " + g.input() + " == " + g.scalar()
			case 2:
				body = " if { " + g.data() + "; " + g.input() + " == " + g.scalar() + " }"
			case 3:
				body = " if " + g.scalar() + " == " + g.data()
			case 4:
				body = " if not " + g.data()
			}
			lines = append(lines, strings.ReplaceAll(f, "T", g.one(g.scalar(), g.literal(), g.input(), g.data()))+body)
		}
		files[strings.ReplaceAll(name, ".", "_")] = lines
	}
	plain("mix", "r := T", "r := T", "default r := 3", "s contains T", "s contains T", "o[T] := T", "o.iq := T")
	plain("mix.sub", "q := T", "q := T", "w contains T")
	plain("sallyport.ready.one", "sets contains T", "marks[T] := true", "marks.iq := T", "named := T")
	plain("sallyport.ready.two", "sets contains T", "marks contains T", "named := T", "named := T", "named.x := T")
	g.deep = 0
	lines := []string{"package gen"}
	for i := range 3 + g.IntN(8) {
		lines = append(lines, g.rule(i)...)
	}
	files["gen"] = lines
	return files, data
}

// accepted drops lines until what is left compiles.
func accepted(files map[string][]string, data map[string]any) (c *ast.Compiler, w *world) {
	w, err := newWorld(data)
	if err != nil {
		return nil, nil
	}
	for range 12 {
		var list []source
		for name, lines := range files {
			text := strings.Join(lines, "\n") + "\n"
			list = append(list, source{name: name, file: name, text: []byte(text)})
		}
		modules, err := parse(list)
		if err == nil {
			if c, err = compile(modules, w); err == nil {
				return c, w
			}
		}
		faults, ok := err.(Faults)
		if !ok {
			return nil, nil
		}
		dropped := false
		for _, f := range faults {
			if lines := files[f.File]; f.Line > 1 && f.Line <= len(lines) && lines[f.Line-1] != "" {
				lines[f.Line-1], dropped = "", true
			}
		}
		if !dropped {
			return nil, nil
		}
	}
	return nil, nil
}

// Folded rules, however they are written, answer as the written ones do. Both may fail where the other looks no further: at an error, or at rules in
// conflict, in a body that another part of it fails.
func FuzzFold(f *testing.F) {
	for _, seed := range []uint64{163, 171, 204, 249, 348, 379, 410, 480, 521, 570, 586, 649, 663, 671, 699, 747, 755, 760, 869, 927, 952, 996, 1207, 1298, 1332, 1338, 1368, 1455} { // that found a fold that was wrong
		f.Add(seed)
	}
	for seed := range uint64(20) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, seed uint64) {
		g := &writer{Rand: rand.New(rand.NewPCG(seed, 99))}
		g.with = g.may(10)
		files, data := g.modules()
		compiling.Lock()
		defer compiling.Unlock()
		c, w := accepted(files, data)
		if c == nil {
			return
		}
		var entries []string
		for _, r := range append(g.rules, "data.mix", "data.sallyport.ready") {
			if len(c.GetRulesWithPrefix(ast.MustParseRef(r))) > 0 {
				entries = append(entries, r)
			}
		}
		if g.may(2) && len(entries) > 0 {
			entries = entries[:1]
		}
		folded, err := fold(c, w, entries...)
		if err != nil {
			t.Fatal(err, files, data)
		}
		for _, e := range entries {
			was := asked(c, w, e)
			if was == nil {
				continue
			}
			is, err := newQuestion(folded, w, e, Field.ofStanza)
			if err != nil || is.set&^was.set != 0 {
				t.Fatal(seed, e, err, is, was, files, data)
			}
			was.timeout, is.timeout, was.at, is.at = time.Minute, time.Minute, noon, noon
			for range 8 {
				in := randomInput(g.Rand)
				if d := difference(was, is, in); d != "" {
					t.Fatalf("seed %d, %s of %+v:\n%s\nrules %q\ndata %v\nfolded %v", seed, e, in.Stanza, d, files, data, folded.Modules)
				}
			}
		}
	})
}

var noon = time.Unix(1_800_000_000, 0)

// asked is nil for rules that OPA's dependencies panic at, as at `some x in 0` (as of 1.22): they do not load.
func asked(c *ast.Compiler, w *world, rule string) (q *question) {
	defer func() { _ = recover() }()
	q, _ = newQuestion(c, w, rule, Field.ofStanza)
	return q
}

// difference says how two answers differ. Where one is an error of a built-in function, they are compared without these; a conflict ends it.
func difference(was, is *question, in *Input) string {
	want, _, wantErr := was.ask(context.Background(), in)
	got, _, gotErr := is.ask(context.Background(), in)
	failed := func(err error) bool { return err != nil && err != errUndefined }
	if failed(wantErr) || failed(gotErr) {
		before, after := *was, *is
		before.lenient, after.lenient = true, true
		want, _, wantErr = before.ask(context.Background(), in)
		got, _, gotErr = after.ask(context.Background(), in)
		if failed(wantErr) || failed(gotErr) {
			return ""
		}
	}
	if wantErr != gotErr || wantErr == nil && want.Compare(got) != 0 {
		return fmt.Sprintf("written %v %v\nfolded  %v %v", want, wantErr, got, gotErr)
	}
	return ""
}
