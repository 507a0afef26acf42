package load

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"text/tabwriter"
)

// Report is one table: a row for each measure, a column for each subject, and the ratio to the first column.
type Report struct {
	Columns []string `json:"columns"`
	Rows    []Row    `json:"rows"`
}

// Row is one measure.
type Row struct {
	Name   string   `json:"name"`
	Unit   string   `json:"unit"`
	Goal   string   `json:"goal,omitempty"` // what the first columns have to reach
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

// row finds or makes the row of a measure.
func (r *Report) row(name, unit, goal string) *Row {
	n := slices.IndexFunc(r.Rows, func(row Row) bool { return row.Name == name && row.Unit == unit })
	if n < 0 {
		r.Rows = append(r.Rows, Row{Name: name, Unit: unit, Goal: goal, Values: make([]Figure, len(r.Columns))})
		n = len(r.Rows) - 1
	}
	return &r.Rows[n]
}

// Set enters a figure.
func (r *Report) Set(column int, name, unit, goal string, f Figure) {
	r.row(name, unit, goal).Values[column] = f
}

// Print writes the table.
func (r *Report) Print(out io.Writer) error {
	tab := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(tab, "MEASURE\tUNIT\t%s\tGOAL\n", strings.ToUpper(strings.Join(r.Columns, "\t")))
	var faults []string
	for _, row := range r.Rows {
		fmt.Fprintf(tab, "%s\t%s\t", row.Name, row.Unit)
		for i, f := range row.Values {
			fmt.Fprintf(tab, "%s\t", f.print(row.Values[0], i > 0))
			if f.Fault != "" {
				faults = append(faults, fmt.Sprintf("%s, %s: %s", row.Name, r.Columns[i], f.Fault))
			}
		}
		fmt.Fprintln(tab, row.Goal)
	}
	if err := tab.Flush(); err != nil {
		return err
	}
	for _, fault := range faults {
		fmt.Fprintln(out, "no figure:", fault)
	}
	return nil
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

// number keeps three digits that matter.
func number(v float64) string {
	switch size := math.Abs(v); {
	case size >= 100 || v == 0:
		return fmt.Sprintf("%.0f", v)
	case size >= 10:
		return fmt.Sprintf("%.1f", v)
	case size >= 0.1:
		return fmt.Sprintf("%.2f", v)
	}
	return fmt.Sprintf("%.3f", v)
}
