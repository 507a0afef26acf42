package policy

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/open-policy-agent/opa/v1/ast"
)

// Change is what a [Transform] does.
type Change uint8

// The changes. There is no change that does nothing: the zero Change is refused.
const (
	noChange Change = iota
	// FoldPresence leaves of a presence whether its sender is there, and nothing of what it does, runs or looks like.
	FoldPresence
	// Strip takes payloads out.
	Strip
	// Mask writes With over what the pattern finds in what people read.
	Mask
	// FirstLine puts Text before the body.
	FirstLine
	// StripCandidates takes addresses of closed networks out of what calls and files are negotiated with.
	StripCandidates
	// Label adds a security label that shows Text, where there is none (XEP-0258).
	Label
)

var changeNames = [...]string{FoldPresence: "fold-presence", Strip: "strip", Mask: "mask", FirstLine: "first-line", StripCandidates: "strip-candidates", Label: "label"}

// String gives the word that Rego uses.
func (c Change) String() string { return changeNames[c] }

// Transform is a change that policy wants done to a stanza before it passes.
type Transform struct {
	Rule     string
	Do       Change
	Payloads []string       // of Strip: namespace or namespace|element
	Pattern  *regexp.Regexp // of Mask
	With     string         // of Mask
	Text     string         // of FirstLine and Label
}

// Notice is something that policy wants people to know.
type Notice struct{ Rule, To, Text string }

// patterns keeps what policy has compiled. A policy writes most of its patterns down; those that it makes up as it goes do not crowd out the
// others for long, for when there is no more room all are forgotten.
type patterns struct {
	mu   sync.Mutex
	kept map[string]*regexp.Regexp
}

const patternsKept = 256

func (p *patterns) compile(text string) (*regexp.Regexp, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if re := p.kept[text]; re != nil {
		return re, nil
	}
	re, err := regexp.Compile(text)
	if err == nil {
		if p.kept == nil || len(p.kept) >= patternsKept {
			p.kept = map[string]*regexp.Regexp{}
		}
		p.kept[text] = re
	}
	return re, err
}

// transforms reads the list of changes.
func (p *patterns) transforms(v ast.Value) (list []Transform, err error) {
	err = eachOf(v, func(v ast.Value) error {
		t, err := p.transform(v)
		list = append(list, t)
		return ofRule(v, err)
	})
	return list, err
}

func (p *patterns) transform(v ast.Value) (t Transform, err error) {
	given := map[string]bool{}
	err = eachPart(v, func(key string, value ast.Value) (err error) {
		given[key] = true
		switch key {
		case "do":
			t.Do, err = changeOf(value)
		case "rule":
			t.Rule, err = text(value)
		case "order": // base has sorted by it
			if _, ok := value.(ast.Number); !ok {
				err = fmt.Errorf("%v is no number", value)
			}
		case "payloads":
			t.Payloads, err = texts(value)
		case "pattern":
			var s string
			if s, err = text(value); err == nil {
				t.Pattern, err = p.compile(s)
			}
		case "with":
			t.With, err = text(value)
		case "text":
			t.Text, err = text(value)
		default:
			err = errors.New("is not a part of a transform")
		}
		return err
	})
	switch {
	case err != nil:
		return t, err
	case t.Rule == "":
		return t, errNoRule
	}
	return t, t.complete(given)
}

// complete tells whether a transform has what it takes, and nothing that it would not obey.
func (t *Transform) complete(given map[string]bool) error {
	needs := map[Change][]string{FoldPresence: {}, Strip: {"payloads"}, Mask: {"pattern", "with"}, FirstLine: {"text"}, StripCandidates: {}, Label: {"text"}}
	want, ok := needs[t.Do]
	if !ok {
		return errors.New("it does not say what to do")
	}
	for _, key := range want {
		if !given[key] {
			return fmt.Errorf("%s takes %s", t.Do, key)
		}
		delete(given, key)
	}
	for _, key := range []string{"payloads", "pattern", "with", "text"} {
		if given[key] {
			return fmt.Errorf("%s takes no %s", t.Do, key)
		}
	}
	return t.effective()
}

// effective tells whether a transform can do what it is there for.
func (t *Transform) effective() error {
	switch {
	case t.Do == Strip && len(t.Payloads) == 0:
		return errors.New("payloads: there are none")
	case t.Do == Strip && slices.ContainsFunc(t.Payloads, nameless):
		return fmt.Errorf("payloads: %q must each be a namespace, or namespace|element", t.Payloads)
	case t.Do == Mask && t.Pattern.MatchString(t.With):
		return fmt.Errorf("the pattern finds something in %q too, which would be written instead of it", t.With)
	case (t.Do == FirstLine || t.Do == Label) && strings.TrimSpace(t.Text) == "":
		return errors.New("text: it is empty")
	}
	return nil
}

// nameless tells a payload that is none. One without a namespace has but its element's name behind the |.
func nameless(payload string) bool {
	_, element, named := strings.Cut(payload, "|")
	return payload == "" || named && element == "" || strings.TrimSpace(payload) != payload
}

func changeOf(v ast.Value) (Change, error) {
	word, err := oneOf(v, changeNames[1:]...)
	for c, name := range changeNames {
		if err == nil && c != int(noChange) && name == word {
			return Change(c), nil
		}
	}
	return noChange, err
}

// notices reads the list of what people are to know.
func notices(v ast.Value) (list []Notice, err error) {
	err = eachOf(v, func(v ast.Value) error {
		var n Notice
		err := eachPart(v, func(key string, value ast.Value) (err error) {
			switch key {
			case "rule":
				n.Rule, err = text(value)
			case "to":
				n.To, err = text(value)
			case "text":
				n.Text, err = text(value)
			default:
				err = errors.New("is not a part of a notice")
			}
			return err
		})
		if err == nil && (n.Rule == "" || n.Text == "") {
			err = errors.New("it takes a rule and a text")
		}
		list = append(list, n)
		return ofRule(v, err)
	})
	return list, err
}

// eachOf goes through a list or a set.
func eachOf(v ast.Value, f func(ast.Value) error) error {
	each := func(t *ast.Term) error { return f(t.Value) }
	switch v := v.(type) {
	case *ast.Array:
		return v.Iter(each)
	case ast.Set:
		return v.Iter(each)
	case ast.Null:
		return nil
	}
	return fmt.Errorf("%v is no list", v)
}
