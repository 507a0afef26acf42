package policy

import (
	"strings"
	"testing"
)

// Whichever way a rule comes at the clock, its answer is not remembered, and that is told.
func TestClockInEveryForm(t *testing.T) {
	t.Parallel()
	for _, rego := range []string{
		`deny contains {"rule": "a"} if time.now_ns() < 0`,
		`deny contains {"rule": "a"} if not time.now_ns() > 0`,
		`deny contains {"rule": "a", "reason": sprintf("%d", [time.now_ns()])}`,
		`deny contains {"rule": "a"} if late; late if time.now_ns() < 0`,
		`deny contains {"rule": "a"} if late(1); late(n) if time.now_ns() < n`,
		`deny contains {"rule": "a"} if count([1 | time.now_ns() < 0]) > 0`,
		`deny contains {"rule": "a"} if every n in [1, 2] { time.now_ns() < n }`,
		`deny contains {"rule": "a"} if { some n in [0]; time.clock(time.now_ns())[0] < n }`,
		`deny contains {"rule": "a"} if lower("x") == "y" with lower as now; now(_) := sprintf("%d", [time.now_ns()])`,
		`deny contains {"rule": "a"} if now("x") == "y" with data.sallyport.stanza.now as clock; now(_) := ""; clock(_) := sprintf("%d", [time.now_ns()])`,
		`deny contains {"rule": "a"} if late with input.stanza.kind as sprintf("%d", [time.now_ns()]); late if input.stanza.kind == "iq"`,
		`deny contains {"rule": "a"} if late == 2; late := 1 if { input.stanza.kind == "iq" } else := 2 if { time.now_ns() < 0 }`,
		`default late := false; late if time.now_ns() < 0; deny contains {"rule": "a"} if late`,
		`decision := {"effect": "allow", "rule": $"{time.now_ns()}"}`,
		`deny contains {"rule": "a"} if some_late; some_late if { walk({"a": time.now_ns()}, [_, v]); v == 1 }`,
	} {
		s := engine(t, Config{Dir: dir(t, map[string]string{"p.rego": "package sallyport.stanza\n\n" + strings.ReplaceAll(rego, "; ", "\n\n")})}, listed()).Snapshot()
		for range 2 {
			if d := s.Stanza(t.Context(), between("out", "juliet@corp.example", "romeo@partner.example")); d.Cached || !d.Uncacheable || d.Rule == RuleEngineError {
				t.Errorf("%s\n%+v", rego, d)
			}
		}
		if n := s.memo.len(); n != 0 {
			t.Errorf("%s\n%d are remembered", rego, n)
		}
	}
}

// A clock that is replaced by a constant is none.
func TestClockThatIsReplaced(t *testing.T) {
	t.Parallel()
	const rego = "package sallyport.stanza\n\ndeny contains {\"rule\": \"a\"} if late with time.now_ns as 7\n\nlate if time.now_ns() == 7\n"
	s := engine(t, Config{Dir: dir(t, map[string]string{"p.rego": rego})}, listed()).Snapshot()
	in := between("out", "juliet@corp.example", "romeo@partner.example")
	if d := s.Stanza(t.Context(), in); d.Rule != "a" || d.Uncacheable {
		t.Errorf("%+v", d)
	}
	if d := s.Stanza(t.Context(), in); !d.Cached {
		t.Errorf("%+v", d)
	}
}
