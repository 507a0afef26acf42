package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"

	"sallyport/audit"
)

// shower shows events in one of the forms, each as it comes.
func shower(format string, w io.Writer) (func(audit.Hit) error, error) {
	switch format {
	case "text":
		return func(h audit.Hit) error { _, err := fmt.Fprintln(w, sentence(h.Record)); return err }, nil
	case "json":
		return func(h audit.Hit) error { _, err := fmt.Fprintf(w, "%s\n", h.Line); return err }, nil
	case "csv":
		return audit.CSV(w), nil
	case "table":
		return tableShower(w), nil
	}
	return nil, fmt.Errorf("--format: %q is not text, table, csv or json", format)
}

// column is one of a table or of a CSV file.
type column struct {
	name  string
	width int // in a table; 0: as wide as it is
	value func(r *audit.Record) string
}

var tableColumns = []column{
	{"TIME", 29, func(r *audit.Record) string { return instant(r.Time) }},
	{"NODE", 10, func(r *audit.Record) string { return r.Node }},
	{"SEQ", 9, func(r *audit.Record) string { return strconv.FormatUint(r.Seq, 10) }},
	{"KIND", 14, func(r *audit.Record) string { return r.Kind }},
	{"EFFECT", 6, func(r *audit.Record) string { return r.Decision.Effect }},
	{"FROM", 30, func(r *audit.Record) string { from, _ := ends(*r); return from }},
	{"TO", 30, func(r *audit.Record) string { _, to := ends(*r); return to }},
	{"RULE", 18, func(r *audit.Record) string { return r.Decision.Rule }},
	{"ID", 0, func(r *audit.Record) string { return r.ID.String() }},
}

// tableShower aligns columns of fixed width, so that rows can go out as they come. A value that is longer pushes the rest of its row.
func tableShower(w io.Writer) func(audit.Hit) error {
	row := func(value func(column) string) error {
		var line strings.Builder
		for _, c := range tableColumns {
			v := audit.Visible(value(c))
			line.WriteString(v)
			line.WriteString(strings.Repeat(" ", max(c.width-utf8.RuneCountInString(v), 0)+1))
		}
		_, err := fmt.Fprintln(w, strings.TrimRight(line.String(), " "))
		return err
	}
	first := true
	return func(h audit.Hit) error {
		if first {
			first = false
			if err := row(func(c column) string { return c.name }); err != nil {
				return err
			}
		}
		return row(func(c column) string { return c.value(&h.Record) })
	}
}
