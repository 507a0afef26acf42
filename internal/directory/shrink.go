package directory

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"sallyport/policy"
)

// fewMembers is how many a group has to have before what it loses alone counts: of three, one more or less is a third.
const fewMembers = 10

// memberships are the groups of a document, with who is in them.
type memberships map[string]map[string]struct{}

func membershipsOf(text []byte) (memberships, error) {
	var d struct{ Groups memberships }
	err := json.Unmarshal(text, &d)
	return d.Groups, err
}

// shrunk refuses a document that takes away more of what is in force than directory.shrink allows, unless the operator has accepted this
// very document: a directory that lost its data, or shows them to bind_dn no more, would take the protection of data.internal from people.
func (d *directory) shrunk(was, now []byte) error {
	before, err := membershipsOf(was)
	if err != nil {
		return nil // nobody can tell what was there
	}
	after, err := membershipsOf(now)
	if err != nil {
		return err
	}
	all, gone := 0, 0
	var worst []string
	for _, name := range slices.Sorted(maps.Keys(before)) {
		n, left := len(before[name]), 0
		for bare := range before[name] {
			if _, still := after[name][bare]; still {
				left++
			}
		}
		all, gone = all+n, gone+n-left
		if n >= fewMembers && d.tooMuch(n-left, n) {
			worst = append(worst, fmt.Sprintf("%s keeps %d of %d", name, left, n))
		}
	}
	if !d.tooMuch(gone, all) && len(worst) == 0 {
		return nil
	}
	mark := digest(now)
	if said, err := os.ReadFile(d.config.File + accepted); err == nil && strings.TrimSpace(string(said)) == mark {
		return nil
	}
	detail := ""
	if len(worst) > 0 {
		detail = ": " + strings.Join(worst[:min(len(worst), 5)], ", ")
	}
	return fmt.Errorf("%d of %d memberships are gone, more than directory.shrink, %d%%, allows%s; if that is right, accept it:  echo %s > %s%s",
		gone, all, d.config.Shrink, detail, mark, d.config.File, accepted)
}

func (d *directory) tooMuch(gone, of int) bool { return gone*100 > of*d.config.Shrink }

// accepted is behind the name of the file with which an operator accepts a document by its digest.
const accepted = ".accept"

func digest(text []byte) string {
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:6])
}

// inForce is the document of a supply, nil for none.
func inForce(s *policy.Supply) []byte {
	if s == nil || len(s.Files) == 0 {
		return nil
	}
	return s.Files[0].Text
}
