package audit

import (
	"fmt"
	"strconv"
	"time"
)

// Retention says how long events are kept, by the class that policy gave them. DefaultClass speaks for events without a class and for
// classes that have no term of their own. What has no term is kept for good.
type Retention map[string]Term

// DefaultClass is the retention class of what has none.
const DefaultClass = "default"

// Term is a time that events are kept for: 90d, 2y. The zero Term has no end.
type Term struct{ years, days int }

// maxTerm bounds a term, in either unit.
const maxTerm = 1000

// UnmarshalText reads a term. There is none shorter than a day.
func (t *Term) UnmarshalText(text []byte) error {
	if len(text) < 2 {
		return errTerm
	}
	n, err := strconv.Atoi(string(text[:len(text)-1]))
	if err != nil || n < 1 {
		return errTerm
	}
	switch unit := text[len(text)-1]; {
	case unit == 'd' && n <= 366*maxTerm:
		*t = Term{days: n}
	case unit == 'y' && n <= maxTerm:
		*t = Term{years: n}
	default:
		return errTerm
	}
	return nil
}

var errTerm = fmt.Errorf("a whole number of days (90d) or years (2y), from 1d to %dy", maxTerm)

// String writes a term as it is read.
func (t Term) String() string {
	if t.years > 0 {
		return fmt.Sprintf("%dy", t.years)
	}
	return fmt.Sprintf("%dd", t.days)
}

// of finds the term of a class; ok is false when it is kept for good.
func (r Retention) of(class string) (t Term, ok bool) {
	if t, ok = r[class]; !ok {
		t, ok = r[DefaultClass]
	}
	return t, ok && t != Term{}
}

// end is when what was recorded at a time need not be kept any longer.
func (t Term) end(recorded time.Time) time.Time { return recorded.AddDate(t.years, 0, t.days) }

// shortest is the end of the shortest term; ok is false where nothing ends.
func (r Retention) shortest(recorded time.Time) (end time.Time, ok bool) {
	for class := range r {
		if t, has := r.of(class); has {
			if e := t.end(recorded); !ok || e.Before(end) {
				end, ok = e, true
			}
		}
	}
	return end, ok
}

// ofFolder is when what was sealed until a time, under a key of a folder, need not be opened any longer; ok is false when it is kept for
// good.
func (r Retention) ofFolder(folder string, sealed time.Time) (end time.Time, ok bool) {
	for class, t := range r {
		if classFolder(class) == folder {
			return t.end(sealed), t != Term{}
		}
	}
	t, ok := r.of(DefaultClass)
	return t.end(sealed), ok
}
