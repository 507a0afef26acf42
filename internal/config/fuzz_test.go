package config

import (
	"errors"
	"strings"
	"testing"
	"unicode"

	"sallyport/internal/config/document"
)

// FuzzConfig: whatever the text, there is a configuration or there are faults, never both, neither or a panic; faults are lines of plain
// text that point into the file; and what was accepted keeps the promises of the package.
func FuzzConfig(f *testing.F) {
	f.Add([]byte(least))
	f.Add([]byte("a: &a [*a, *a]\nb: *a\n"))
	f.Add([]byte("backends: [{}]\n<<: {}\npeers: {'*': , ? [x] : y}\n"))
	f.Add([]byte("limits: {idle: 1e9h, stanza_bytes: 18446744073709551615}\n---\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := Parse("x.yaml", text)
		if (c == nil) == (err == nil) {
			t.Fatalf("configuration %v, error %v", c, err)
		}
		if err != nil {
			checkFaults(t, text, err)
			return
		}
		if c.Federation != "listed" && c.Federation != "open" || len(c.Backends) == 0 || !c.Inside.Gate.IsValid() || len(c.Outside.Listen) == 0 {
			t.Fatalf("accepted without what it needs: %+v", c)
		}
		for pattern, p := range c.Peers {
			if p.Channel == "plaintext" && p.Until == "" && !p.Deny {
				t.Fatalf("plaintext without an end for %s", pattern)
			}
		}
		for _, b := range c.Backends {
			if len(b.From) == 0 || len(b.Domains) == 0 || b.Address == "" {
				t.Fatalf("half a backend: %+v", b)
			}
		}
		c.PolicyData()
		c.Settings()
	})
}

func checkFaults(t *testing.T, text []byte, err error) {
	t.Helper()
	var faults Faults
	if !errors.As(err, &faults) || len(faults) == 0 || len(faults) > document.MaxFaults {
		t.Fatalf("an error that is no fault: %v", err)
	}
	lines := 1 + strings.Count(string(text), "\n") + strings.Count(string(text), "\r") +
		strings.Count(string(text), "\u0085") + strings.Count(string(text), "\u2028") + strings.Count(string(text), "\u2029")
	for _, fault := range faults {
		if fault.Line < 0 || fault.Line > lines || fault.Text == "" {
			t.Fatalf("line %d of %d: %q", fault.Line, lines, fault.Text)
		}
		for _, r := range fault.Text {
			if !unicode.IsPrint(r) {
				t.Fatalf("%U reaches the terminal in %q", r, fault.Text)
			}
		}
	}
}
