package main

import (
	"bytes"
	"encoding/csv"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"sallyport/audit"
)

// hostile are values that a stranger can put into an address, an id or a text.
var hostile = []string{
	`=HYPERLINK("http://evil.example")`, "+1", "-2+3", "@SUM(A1)", "\t=1", "\r=1", " =1", "＝1", "'=1", "a\nb", "a\r\nnext,row", `a","b`, "\x1b[2J\x1b[31m", "\u202egnp.exe", "\u2066x", "\u2028", "\x9b31m", "\xff\xfe", "\x00",
}

// TestShownHarmless: whatever stands in a record, a row is a row, a cell is no formula, and a terminal is moved by nothing.
func TestShownHarmless(t *testing.T) {
	t.Parallel()
	for _, v := range hostile {
		r := audit.Record{Time: time.Unix(1, 0), Seq: 1, Node: v, Kind: "stanza", From: v, To: v + "@x", Text: v}
		r.Stanza.ID, r.Decision.Rule = v, v
		for _, format := range []string{"text", "table", "csv"} {
			var out bytes.Buffer
			show, err := shower(format, &out)
			if err == nil {
				err = show(audit.Hit{Record: r})
			}
			if err != nil {
				t.Fatal(err)
			}
			rows := map[string]int{"text": 1, "table": 2, "csv": 2}[format]
			if got := strings.Count(out.String(), "\n"); got != rows {
				t.Errorf("%s of %q: %d lines, want %d: %q", format, v, got, rows, out.String())
			}
			for _, c := range strings.ReplaceAll(out.String(), "\n", "") {
				if c == utf8.RuneError || !unicode.IsPrint(c) {
					t.Errorf("%s of %q: %q", format, v, c)
				}
			}
			if format != "csv" {
				continue
			}
			all, err := csv.NewReader(&out).ReadAll()
			if err != nil || len(all) != 2 || len(all[1]) != len(all[0]) {
				t.Fatalf("%q: %q, %v", v, all, err)
			}
			for _, cell := range all[1] {
				if first, _ := utf8.DecodeRuneInString(strings.TrimSpace(cell)); cell != "" && strings.ContainsRune("=+-@＝", first) {
					t.Errorf("%q becomes the cell %q", v, cell)
				}
			}
		}
	}
}

func TestTableAligns(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	show, err := shower("table", &out)
	if err != nil {
		t.Fatal(err)
	}
	for _, from := range []string{"zoë@corp.example", "al@corp.example"} {
		r := audit.Record{Node: "g", Seq: 7, Kind: "stanza", From: from, To: "bob@partner.example"}
		r.Decision.Rule = "partners"
		if err := show(audit.Hit{Record: r}); err != nil {
			t.Fatal(err)
		}
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	for _, l := range lines[1:] {
		if utf8.RuneCountInString(l[:strings.Index(l, "bob@")]) != strings.Index(lines[0], "TO") {
			t.Errorf("not aligned:\n%s", out.String())
		}
	}
	if _, err := shower("xml", &out); err == nil {
		t.Error("xml is a form")
	}
}
