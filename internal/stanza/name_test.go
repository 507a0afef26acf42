package stanza

import (
	"encoding/xml"
	"fmt"
	"io"
	"strings"
	"testing"
	"unicode"
)

// At both ends of each range of the tables, and next to them, encoding/xml draws the same line. TestExpatNameCharacters asks expat for
// the whole plane.
func TestNameCharacters(t *testing.T) {
	t.Parallel()
	standard := func(doc string) bool {
		d := xml.NewDecoder(strings.NewReader(doc))
		for {
			if _, err := d.Token(); err != nil {
				return err == io.EOF
			}
		}
	}
	for _, table := range []*unicode.RangeTable{nameStart, nameOther} {
		for _, ends := range table.R16 {
			for _, r := range []rune{rune(ends.Lo) - 1, rune(ends.Lo), rune(ends.Hi), rune(ends.Hi) + 1} {
				if !isChar(r) || r < 0x80 {
					continue
				}
				for _, doc := range []string{fmt.Sprintf("<%ca/>", r), fmt.Sprintf("<a%c/>", r), fmt.Sprintf("<a b%c=''/>", r)} {
					_, err := ParseOne([]byte(doc), Limits{})
					if want := standard(doc); (err == nil) != want {
						t.Errorf("ABUSE 32 U+%04X in %s: accepted by encoding/xml: %v, here: %v", r, doc, want, err)
					}
				}
			}
		}
	}
}
