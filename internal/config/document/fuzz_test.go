package document_test

import (
	"errors"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode"

	"sallyport/internal/config/document"
)

// even is a type that is written in a way of its own.
type even string

func (e *even) UnmarshalText(text []byte) error {
	if len(text)%2 != 0 {
		return errors.New("not of even length")
	}
	*e = even(text)
	return nil
}

type inner struct {
	Place netip.AddrPort `yaml:"place" default:"127.0.0.1:1"`
	Wait  time.Duration  `yaml:"wait" default:"5s"`
	Even  even           `yaml:"even"`
}

// shape has a key of every kind that there is.
type shape struct {
	Word    string           `yaml:"word" default:"one" oneof:"one|two"`
	Text    string           `yaml:"text"`
	Flag    bool             `yaml:"flag"`
	Maybe   *bool            `yaml:"maybe"`
	Size    int64            `yaml:"size" default:"4KiB"`
	Count   int              `yaml:"count"`
	Small   uint32           `yaml:"small"`
	List    []string         `yaml:"list"`
	Many    []inner          `yaml:"many"`
	Section inner            `yaml:"section"`
	Absent  *inner           `yaml:"absent"`
	Table   map[even]inner   `yaml:"table"`
	Prefix  []netip.Prefix   `yaml:"prefix"`
	Hidden  map[string]error `yaml:"-"`
	inner   `yaml:",inline"`
}

// FuzzDocument: whatever the text, it is read or there are faults, never a panic; faults are lines of plain text that point into it;
// what was read keeps the promises of its tags, and reads the same again.
func FuzzDocument(f *testing.F) {
	f.Add([]byte("word: two\ntext: x\nflag: true\nmaybe: false\nsize: 1MiB\ncount: 7\nlist: [a, b]\nmany: [{even: xx}, {}]\nsection: {wait: 1h}\nabsent: {}\ntable: {aa: {}, bb: {wait: 1s}}\nprefix: [10.0.0.0/8]\nplace: '[::1]:5269'\n"))
	f.Add([]byte("a: &a [*a, *a]\nb: *a\n"))
	f.Add([]byte("wrd: two\ntable: {aaa: {}, aa: {}, 'aa': {}, ? [x] : y}\nsize: 99999999999GiB\n<<: {}\n---\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		var v, again shape
		report := document.Read("x.yaml", text, &v, nil)
		err := report.Err()
		if report.Unreadable && err == nil {
			t.Fatal("not read, and nobody knows why")
		}
		if err != nil {
			checkFaults(t, text, err)
			return
		}
		if v.Word != "one" && v.Word != "two" || v.Size < 0 || v.Count < 0 || v.Wait < 0 || len(v.Even)%2 != 0 || v.Hidden != nil {
			t.Fatalf("a tag's promise is broken: %+v", v)
		}
		for key, entry := range v.Table {
			if len(key)%2 != 0 || entry.Wait < 0 || !entry.Place.IsValid() {
				t.Fatalf("table[%s] is %+v", key, entry)
			}
		}
		if document.Read("x.yaml", text, &again, nil).Err() != nil || !reflect.DeepEqual(v, again) {
			t.Fatalf("read once it is %+v, read again %+v", v, again)
		}
	})
}

func checkFaults(t *testing.T, text []byte, err error) {
	t.Helper()
	var faults document.Faults
	if !errors.As(err, &faults) || len(faults) == 0 || len(faults) > document.MaxFaults {
		t.Fatalf("an error that is no fault: %v", err)
	}
	lines := 1
	for _, end := range []string{"\n", "\r", "\u0085", "\u2028", "\u2029"} {
		lines += strings.Count(string(text), end)
	}
	for _, fault := range faults {
		if fault.Line < 0 || fault.Line > lines || fault.Text == "" || strings.ContainsFunc(fault.Text, func(r rune) bool { return !unicode.IsPrint(r) }) {
			t.Fatalf("line %d of %d: %q", fault.Line, lines, fault.Text)
		}
	}
}

// A file that means more than it holds, or is more than anybody writes, costs next to nothing.
func TestBombs(t *testing.T) {
	t.Parallel()
	var laughs strings.Builder
	laughs.WriteString("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n")
	for i := 1; i < 20; i++ {
		laughs.WriteString(strings.NewReplacer("N", string(rune('a'+i)), "M", string(rune('a'+i-1))).Replace("N: &N [*M, *M, *M, *M, *M, *M, *M, *M, *M, *M]\n"))
	}
	for name, text := range map[string]string{
		"aliases of aliases": laughs.String(),
		"deep lists":         "list: " + strings.Repeat("[", 300000),
		"deep maps":          strings.Repeat("{a: ", 100000),
		"many keys":          strings.Repeat("k: v\n", 200000),
		"one long scalar":    "text: \"" + strings.Repeat("x", document.MaxFile) + "\"\n",
		"many documents":     strings.Repeat("---\nword: one\n", 50000),
		"merge keys":         "x: &x {word: one}\n" + strings.Repeat("<<: *x\n", 10000),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var v shape
			begun := time.Now()
			if err := document.Read("x.yaml", []byte(text), &v, nil).Err(); err == nil {
				t.Error("it was taken")
			}
			// What explodes takes hours; a busy machine with the race detector takes up to half a minute for what does not.
			if spent := time.Since(begun); spent > 2*time.Minute {
				t.Errorf("it took %s", spent)
			}
		})
	}
}
