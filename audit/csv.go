package audit

import (
	"encoding/csv"
	"io"
	"regexp"
	"strconv"
	"strings"
)

type csvColumn struct {
	name  string
	value func(r *Record) string
}

var csvColumns = []csvColumn{
	{"time", func(r *Record) string { return r.Time.UTC().Format(timeLayout) }},
	{"node", func(r *Record) string { return r.Node }},
	{"seq", func(r *Record) string { return strconv.FormatUint(r.Seq, 10) }},
	{"id", func(r *Record) string { return r.ID.String() }},
	{"kind", func(r *Record) string { return r.Kind }},
	{"code", func(r *Record) string { return strconv.Itoa(int(r.Code)) }},
	{"dir", func(r *Record) string { return r.Dir }},
	{"local", func(r *Record) string { return r.Local }},
	{"remote", func(r *Record) string { return r.Remote }},
	{"from", func(r *Record) string { return r.From }},
	{"to", func(r *Record) string { return r.To }},
	{"stanza", func(r *Record) string { return r.Stanza.Kind }},
	{"type", func(r *Record) string { return r.Stanza.Type }},
	{"stanza_id", func(r *Record) string { return r.Stanza.ID }},
	{"size", func(r *Record) string { return strconv.Itoa(r.Stanza.Size) }},
	{"class", func(r *Record) string { return strings.Join(r.Stanza.Class, " ") }},
	{"effect", func(r *Record) string { return r.Decision.Effect }},
	{"rule", func(r *Record) string { return r.Decision.Rule }},
	{"reason", func(r *Record) string { return r.Decision.Reason }},
	{"revision", func(r *Record) string { return r.Decision.Revision }},
	{"outcome", func(r *Record) string { return r.Outcome }},
	{"condition", func(r *Record) string { return r.Condition }},
	{"error", func(r *Record) string { return r.Error }},
	{"text", func(r *Record) string { return r.Text }},
	{"body", func(r *Record) string { return r.Content.Body }},
}

// CSV writes events as RFC 4180, the names of the columns first.
func CSV(w io.Writer) func(Hit) error {
	c := csv.NewWriter(w)
	row := make([]string, len(csvColumns))
	first := true
	return func(h Hit) error {
		if first {
			first = false
			for i, col := range csvColumns {
				row[i] = col.name
			}
			if err := c.Write(row); err != nil {
				return err
			}
		}
		for i, col := range csvColumns {
			row[i] = cell(col.value(&h.Record))
		}
		if err := c.Write(row); err != nil {
			return err
		}
		c.Flush()
		return c.Error()
	}
}

// cell makes a value harmless in a spreadsheet: what could be read as a formula gets an apostrophe before it, as OWASP advises, and what
// is not printable is escaped, so that a row is one line and reads in one direction. Behind a semicolon, too: where that is what separates
// cells, as in half of Europe, a spreadsheet begins one there.
func cell(s string) string { return formula.ReplaceAllString(Visible(s), "$1'$2") }

var formula = regexp.MustCompile(`(^|;)([ "]*[=+\-@'＝＋－＠])`)
