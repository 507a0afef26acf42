package load

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"text/tabwriter"
	"unicode/utf8"
)

// Report is what was measured: tables with a row for each measure and a column for each subject, and ratios to the first column.
type Report struct {
	Columns []string `json:"columns"`
	Tables  []*Table `json:"tables"`
}

// Table is the measures of one kind.
type Table struct {
	Title string `json:"title"`
	Rows  []*Row `json:"rows"`
}

// Row is one measure.
type Row struct {
	Name   string   `json:"name"`
	Goal   float64  `json:"goal,omitempty"` // what gates have to stay below; 0: nothing is asked
	Values []Figure `json:"values"`         // by column
}

// Figure is the median of some runs. The zero value was not measured.
type Figure struct {
	Median float64 `json:"median"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
	Runs   int     `json:"runs"`
	Fault  string  `json:"fault,omitempty"` // why there is no figure
}

// FigureOf takes the median.
func FigureOf(values ...float64) Figure {
	if len(values) == 0 {
		return Figure{}
	}
	slices.Sort(values)
	return Figure{Median: values[len(values)/2], Min: values[0], Max: values[len(values)-1], Runs: len(values)}
}

// The tables, in the order in which they are printed.
const (
	cpuTable   = "CPU per stanza, µs"
	rateTable  = "Stanzas per second"
	writeTable = "Write system calls per stanza"
	tripTable  = "Round trip of a burst, ms"
	setupTable = "Link set-ups per CPU second"
	bytesTable = "Resident memory per link pair, kB"
)

// NewReport has the tables, and nothing in them.
func NewReport(columns ...string) *Report {
	r := &Report{Columns: columns}
	for _, title := range []string{cpuTable, rateTable, writeTable, tripTable, setupTable, bytesTable} {
		r.Tables = append(r.Tables, &Table{Title: title})
	}
	return r
}

// row finds or makes the row of a measure.
func (r *Report) row(title, name string) *Row {
	t := r.Tables[slices.IndexFunc(r.Tables, func(t *Table) bool { return t.Title == title })]
	n := slices.IndexFunc(t.Rows, func(row *Row) bool { return row.Name == name })
	if n < 0 {
		t.Rows = append(t.Rows, &Row{Name: name, Values: make([]Figure, len(r.Columns))})
		n = len(t.Rows) - 1
	}
	return t.Rows[n]
}

// set enters a figure, and returns its row.
func (r *Report) set(column int, title, name string, f Figure) *Row {
	row := r.row(title, name)
	row.Values[column] = f
	return row
}

// Print writes the tables that have figures.
func (r *Report) Print(out io.Writer) error {
	tab := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	var faults []string
	for _, t := range r.Tables {
		if len(t.Rows) == 0 {
			continue
		}
		fmt.Fprintf(tab, "%s\t%s\tgoal\n", t.Title, strings.Join(r.Columns, "\t"))
		fmt.Fprintf(tab, "%s\t%s\n", rule(t.Title), rule(r.Columns...))
		for _, row := range t.Rows {
			fmt.Fprintf(tab, "%s\t", row.Name)
			for i, f := range row.Values {
				fmt.Fprintf(tab, "%s\t", f.print(row.Values[0], i > 0))
				if f.Fault != "" {
					faults = append(faults, fmt.Sprintf("%s, %s, %s: %s", t.Title, row.Name, r.Columns[i], f.Fault))
				}
			}
			fmt.Fprintln(tab, row.judge(r.Columns))
		}
		fmt.Fprintln(tab)
	}
	if err := tab.Flush(); err != nil {
		return err
	}
	for _, fault := range faults {
		fmt.Fprintln(out, "no figure:", fault)
	}
	return nil
}

// judge says what the goal is, and whether the gates that were measured reach it.
func (row *Row) judge(columns []string) string {
	if row.Goal == 0 {
		return ""
	}
	verdict := "reached"
	for i, f := range row.Values {
		if strings.HasPrefix(columns[i], gateName) && (f.Fault != "" || f.Median > row.Goal) {
			verdict = "missed"
		}
	}
	return fmt.Sprintf("≤ %s, %s", number(row.Goal), verdict)
}

// print writes the median with its spread, and how many times the first column's that is.
func (f Figure) print(first Figure, compare bool) string {
	switch {
	case f.Fault != "":
		return "fault"
	case f.Runs == 0:
		return "–"
	}
	text := number(f.Median)
	if f.Runs > 1 {
		text += fmt.Sprintf(" (%s–%s)", number(f.Min), number(f.Max))
	}
	if compare && first.Median > 0 {
		text += " ×" + number(f.Median/first.Median)
	}
	return text
}

// rule underlines words.
func rule(words ...string) string {
	lines := make([]string, len(words))
	for i, w := range words {
		lines[i] = strings.Repeat("-", utf8.RuneCountInString(w))
	}
	return strings.Join(lines, "\t")
}

// number keeps three digits that matter, with a space between thousands where there are many.
func number(v float64) string {
	switch size := math.Abs(v); {
	case size >= 10000:
		digits := fmt.Sprintf("%.0f", v)
		for i := len(digits) - 3; i > 0 && digits[i-1] != '-'; i -= 3 {
			digits = digits[:i] + " " + digits[i:]
		}
		return digits
	case size >= 100 || v == math.Trunc(v):
		return fmt.Sprintf("%.0f", v)
	case size >= 10:
		return fmt.Sprintf("%.1f", v)
	case size >= 0.1:
		return fmt.Sprintf("%.2f", v)
	}
	return fmt.Sprintf("%.3f", v)
}
