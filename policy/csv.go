package policy

import (
	"bytes"
	"encoding/csv"
	"errors"
	"io"
	"strings"
)

// readCSV reads a list of people and the groups that they are in: a bare address, and a group, a line; further columns are further groups. A
// first line without an @ in its first column is a heading.
func readCSV(text []byte) (map[string]any, error) {
	r := csv.NewReader(bytes.NewReader(bytes.TrimPrefix(text, []byte("\ufeff"))))
	r.FieldsPerRecord, r.TrimLeadingSpace, r.Comment = -1, true, '#'
	groups := map[string]any{}
	for first := true; ; first = false {
		row, err := r.Read()
		if errors.Is(err, io.EOF) {
			return map[string]any{"groups": groups}, nil
		}
		var parse *csv.ParseError
		if errors.As(err, &parse) {
			return nil, placed(parse.Line, "%v", parse.Err)
		}
		if err != nil {
			return nil, err
		}
		line, _ := r.FieldPos(0)
		address := strings.TrimSpace(row[0])
		switch {
		case !strings.Contains(address, "@") && first:
			continue
		case !strings.Contains(address, "@"):
			return nil, placed(line, "%q is no address: a line is an address and its groups", address)
		case len(row) < 2 || strings.TrimSpace(row[1]) == "":
			return nil, placed(line, "%s has no group", address)
		}
		for _, group := range row[1:] {
			if group = strings.TrimSpace(group); group == "" {
				continue
			}
			members, _ := groups[group].(map[string]any)
			if members == nil {
				members = map[string]any{}
				groups[group] = members
			}
			members[address] = map[string]any{}
		}
	}
}
