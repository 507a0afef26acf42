package audit

import (
	"bytes"
	"encoding/json"
	"strings"
)

// termHash is that of one thing that a line can be found by: a field's letter and a value. Two that are alike cost a look at a block in
// vain, and nothing else: each hit is checked against the line.
type termHash uint64

// Letters of terms.
const (
	ofFrom       = 'f' // bare address
	ofFromDomain = 'F'
	ofTo         = 't'
	ofToDomain   = 'T'
	ofDomain     = 'd' // on either side
	ofParent     = 'p' // a domain on either side, or what it is below
	ofClass      = 'c'
	ofEffect     = 'e'
	ofRule       = 'r'
	ofKind       = 'k' // of the event
	ofKinds      = 'K' // the same up to the dot
	ofStanza     = 's' // its id
)

// termOf is FNV-1a.
func termOf[T string | []byte](letter byte, value T) termHash {
	const prime = 1099511628211
	h := (uint64(14695981039346656037) ^ uint64(letter)) * prime
	for i := range len(value) {
		h = (h ^ uint64(value[i])) * prime
	}
	return termHash(h)
}

// eachTerm gives f what a line can be found by, some of it more than once. It says false of a line that is not read like that: one
// that is no record, or is written otherwise than the gate does.
func eachTerm(line []byte, h head, f func(termHash)) bool {
	if !json.Valid(line) {
		return false
	}
	f(termOf(ofKind, h.kind))
	if dot := bytes.IndexByte(h.kind, '.'); dot >= 0 {
		f(termOf(ofKinds, h.kind[:dot+1]))
	}
	w := walker{rest: line, f: f}
	return w.object()
}

// walker goes through a line that is known to be JSON. It knows the few values that it looks for by their keys, wherever they stand; a
// key that is not spelled plainly it does not understand, for encoding/json would read some of them as ours.
type walker struct {
	rest  []byte
	f     func(termHash)
	depth int
}

func (w *walker) object() bool {
	w.depth++
	defer func() { w.depth-- }()
	w.skip('{')
	if w.skip('}') {
		return true
	}
	for {
		key, ok := w.text()
		if !ok || !plainKey(key) || !w.skip(':') || !w.value(key) {
			return false
		}
		if w.skip('}') {
			return true
		}
		if !w.skip(',') {
			return false
		}
	}
}

func plainKey(key []byte) bool {
	for _, c := range key {
		if (c < 'a' || 'z' < c) && c != '_' && (c < '0' || '9' < c) {
			return false
		}
	}
	return len(key) > 0
}

// value reads the value of a key, or of a list that the key has.
func (w *walker) value(key []byte) bool {
	if len(w.rest) == 0 {
		return false
	}
	switch w.rest[0] {
	case '"':
		raw, ok := w.text()
		return ok && w.emit(key, raw)
	case '{':
		return w.object()
	case '[':
		return w.list(key)
	}
	end := bytes.IndexAny(w.rest, ",]} \t\r\n")
	if end <= 0 {
		return false
	}
	w.rest = w.rest[end:]
	return true
}

func (w *walker) list(key []byte) bool {
	w.skip('[')
	for !w.skip(']') {
		if !w.value(key) {
			return false
		}
		w.skip(',')
	}
	return true
}

// skip takes one character if it is next.
func (w *walker) skip(c byte) bool {
	if len(w.rest) == 0 || w.rest[0] != c {
		return false
	}
	w.rest = w.rest[1:]
	return true
}

// text takes a string, and gives what stands between its quotes.
func (w *walker) text() (raw []byte, ok bool) {
	if !w.skip('"') {
		return nil, false
	}
	for i := 0; i < len(w.rest); i++ {
		switch w.rest[i] {
		case '\\':
			i++
		case '"':
			raw, w.rest = w.rest[:i], w.rest[i+1:]
			return raw, true
		}
	}
	return nil, false
}

// emit gives the terms of one value.
func (w *walker) emit(key, raw []byte) bool {
	var letter byte
	switch string(key) {
	case "from":
		letter = ofFrom
	case "to":
		letter = ofTo
	case "local", "remote":
		letter = ofDomain
	case "class":
		letter = ofClass
	case "effect":
		letter = ofEffect
	case "rule":
		letter = ofRule
	case "id":
		if w.depth == 1 {
			return true // the event's: blocks are found by their least and greatest
		}
		letter = ofStanza
	default:
		return true
	}
	for _, c := range raw {
		if c == '\\' || c >= 0x80 {
			var s string
			if json.Unmarshal(append(append([]byte{'"'}, raw...), '"'), &s) != nil {
				return false
			}
			raw = []byte(s)
			break
		}
	}
	if len(raw) == 0 {
		return true
	}
	switch letter {
	case ofFrom, ofTo:
		w.address(letter, raw)
	case ofDomain:
		w.domain(raw)
	default:
		w.f(termOf(letter, raw))
	}
	return true
}

func (w *walker) address(letter byte, addr []byte) {
	bare, _, _ := bytes.Cut(addr, []byte("/"))
	w.f(termOf(letter, bare))
	domain := bare
	if _, after, ok := bytes.Cut(bare, []byte("@")); ok {
		domain = after
	}
	w.f(termOf(letter-'a'+'A', domain))
	w.domain(domain)
}

// domain gives the terms of a domain and of all that it is below.
func (w *walker) domain(domain []byte) {
	w.f(termOf(ofDomain, domain))
	for rest := domain; ; {
		w.f(termOf(ofParent, rest))
		_, after, below := bytes.Cut(rest, []byte("."))
		if !below {
			return
		}
		rest = after
	}
}

// terms says what a line must have to be what the query asks for: of each group one. What cannot be asked of an index is left out.
func (m *matcher) terms() (groups [][]termHash) {
	q := &m.q
	add := func(asked string, group func() []termHash) {
		if asked != "" {
			groups = append(groups, group())
		}
	}
	one := func(asked string, letter byte) {
		add(asked, func() []termHash { return []termHash{termOf(letter, asked)} })
	}
	add(q.From, func() []termHash { return []termHash{addressTerm(ofFrom, q.From)} })
	add(q.To, func() []termHash { return []termHash{addressTerm(ofTo, q.To)} })
	add(q.User, func() []termHash { return []termHash{addressTerm(ofFrom, q.User), addressTerm(ofTo, q.User)} })
	if parent, below := strings.CutPrefix(q.Domain, "*."); below {
		one(parent, ofParent)
	} else {
		one(q.Domain, ofDomain)
	}
	one(q.Class, ofClass)
	one(q.Effect, ofEffect)
	one(q.Rule, ofRule)
	prefix, many := strings.CutSuffix(q.Kind, "*")
	switch {
	case !many:
		one(q.Kind, ofKind)
	case strings.IndexByte(prefix, '.') == len(prefix)-1:
		one(prefix, ofKinds)
	}
	return groups
}

func addressTerm(letter byte, asked string) termHash {
	bare, _, _ := strings.Cut(asked, "/")
	if bare == asked && !strings.Contains(bare, "@") {
		return termOf(letter-'a'+'A', bare)
	}
	return termOf(letter, bare)
}
