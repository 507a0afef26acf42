package document

import (
	"bytes"
	"fmt"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// Bounds of the file. An allow-list of ten thousand peers takes half of it; no key lies deeper than five levels.
const (
	MaxFile  = 1 << 20
	maxDepth = 16
)

// parse reads YAML text into its tree and refuses what a configuration has no use for: several documents, anchors and aliases,
// by which a small file can mean a huge one, and explicit types. It returns nil when there is no tree.
func (r *Report) parse(text []byte) *yaml.Node {
	if len(text) > MaxFile {
		r.At(0, "larger than %d KiB", MaxFile>>10)
		return nil
	}
	if !r.clean(text) {
		return nil
	}
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	var document yaml.Node
	if err := decoder.Decode(&document); err != nil {
		if len(bytes.TrimSpace(text)) > 0 && err.Error() != "EOF" {
			r.syntax(text, err)
		}
		return nil
	}
	var second yaml.Node
	if decoder.Decode(&second) == nil {
		r.At(second.Line, "a second document begins here; a configuration is one")
	}
	if len(document.Content) == 0 {
		return nil
	}
	r.plain(document.Content[0], 0)
	return document.Content[0]
}

// clean finds bytes that are not text, with their line.
func (r *Report) clean(text []byte) bool {
	line := 1
	for rest := text; len(rest) > 0; {
		c, size := utf8.DecodeRune(rest)
		rest = rest[size:]
		switch {
		case c == '\n':
			line++
		case c == utf8.RuneError && size == 1:
			r.At(line, "not UTF-8")
			return false
		case c < ' ' && c != '\t' && c != '\r', c == 0x7f:
			r.At(line, "control character %U", c)
			return false
		}
	}
	return true
}

// syntax reports an error of the YAML reader at the line that it means.
func (r *Report) syntax(text []byte, err error) {
	message := strings.TrimPrefix(err.Error(), "yaml: ")
	line := 1
	if n, _ := fmt.Sscanf(message, "line %d:", &line); n == 1 {
		_, message, _ = strings.Cut(message, ": ")
	}
	// The reader counts lines from 0 when it misses something, from 1 otherwise.
	if strings.HasPrefix(message, "did not find expected") {
		line++
	}
	lines := bytes.Split(text, []byte("\n"))
	line = min(line, len(lines))
	var anchor string
	if n, _ := fmt.Sscanf(message, "unknown anchor '%s referenced", &anchor); n == 1 {
		line = 1 + bytes.Count(text[:max(bytes.IndexByte(text, '*'), 0)], []byte("\n"))
		message = aliases
	}
	if indent := lines[line-1]; bytes.HasPrefix(bytes.TrimLeft(indent, " "), []byte("\t")) {
		message = "a tab cannot indent; use spaces"
	}
	r.At(line, "%s", message)
}

const aliases = "anchors (&) and aliases (*) are not used here; put the value in quotes if it begins so"

// plain refuses what the tree below n should not hold. It looks at each node once, however the file is written.
func (r *Report) plain(n *yaml.Node, depth int) {
	switch {
	case depth > maxDepth:
		r.At(n.Line, "nested deeper than %d levels", maxDepth)
		return
	case n.Kind == yaml.AliasNode, n.Anchor != "":
		r.At(n.Line, aliases)
		return
	case n.Style&yaml.TaggedStyle != 0:
		r.At(n.Line, "explicit types such as %s are not used here", n.Tag)
		return
	}
	for _, child := range n.Content {
		r.plain(child, depth+1)
	}
}
