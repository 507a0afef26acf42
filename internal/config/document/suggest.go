package document

import (
	"fmt"
	"reflect"
	"strings"
)

// suggestion completes "unknown key …" with the key that was meant: a similar one in the same section, or the same one in
// another.
func (r *Report) suggestion(key, path string, known []Field) string {
	keys := make([]string, len(known))
	for i, f := range known {
		keys[i] = f.Key
	}
	if best := closest(key, keys); best != "" {
		return fmt.Sprintf("; did you mean %s?", Step(path, best))
	}
	if elsewhere := places(r.root, "", key); len(elsewhere) > 0 {
		return fmt.Sprintf("; did you mean %s?", strings.Join(elsewhere, " or "))
	}
	if len(keys) > 16 {
		return "" // more than anybody reads
	}
	return "; known here: " + strings.Join(keys, ", ")
}

// Meant completes a fault about a word with the one that was meant.
func Meant(word string, words []string) string {
	if best := closest(word, words); best != "" {
		return fmt.Sprintf("; did you mean %s?", best)
	}
	return ""
}

// places are the paths of sections at which a key is known.
func places(t reflect.Type, path, key string) []string {
	var found []string
	for _, f := range Fields(t) {
		at := Step(path, f.Key)
		if f.Key == key {
			found = append(found, at)
		}
		if KindOf(f.Type) == Section && f.Type.Kind() == reflect.Struct {
			found = append(found, places(f.Type, at, key)...)
		}
	}
	return found
}

// closest returns the candidate that is a typing mistake away from word, empty when none is.
func closest(word string, candidates []string) string {
	if len(word) > 64 {
		return ""
	}
	best, least := "", 1+max(1, len(word)/3)
	for _, c := range candidates {
		if d := distance(strings.ToLower(word), c); d < least {
			best, least = c, d
		}
	}
	return best
}

// distance counts the letters to be put in, left out, exchanged or swapped with their neighbour to turn a into b.
func distance(a, b string) int {
	before, last := make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row := make([]int, len(b)+1)
		row[0] = i
		for j := 1; j <= len(b); j++ {
			change := last[j-1]
			if a[i-1] != b[j-1] {
				change++
			}
			row[j] = min(last[j]+1, row[j-1]+1, change)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last = last, row
	}
	return last[len(b)]
}
