package policy

import (
	"cmp"
	"errors"
	"fmt"

	"github.com/open-policy-agent/opa/v1/ast"
)

// The sets of package sallyport.stanza, whose members ready-made packages add as well.
var memberSets = map[string]func(member ast.Value) error{
	"deny":      denial,
	"transform": func(v ast.Value) error { _, err := new(patterns).transforms(alone(v)); return err },
	"notify":    func(v ast.Value) error { _, err := notices(alone(v)); return err },
	"audit":     func(v ast.Value) error { return misread(alone(v), "level", nil, auditLevels...) },
	"retention": func(v ast.Value) error { return misread(alone(v), "class", nil) },
}

// misfits finds members that the gate would not understand, as far as they are written down: each answer that has one would be a deny.
func misfits(modules map[string]*ast.Module) (faults Faults) {
	for _, m := range modules {
		if !deciding(m.Package.Path) {
			continue
		}
		for _, r := range m.Rules {
			read, member := memberSets[string(r.Head.Name)], r.Head.Key
			if read == nil || member == nil || !literal(member) {
				continue
			}
			if err := read(member.Value); err != nil {
				faults = append(faults, faultAt(r.Location, "a member of %s is not understood: %v", r.Head.Name, err))
			}
		}
	}
	return faults
}

// deciding tells the packages that have the sets.
func deciding(path ast.Ref) bool {
	p := constants(path)
	return len(p) == 2 && p[0] == "sallyport" && p[1] == "stanza" || len(p) == 3 && p[0] == "sallyport" && p[1] == "ready"
}

// literal tells what is the same whatever is asked.
func literal(t *ast.Term) bool {
	written := true
	ast.WalkTerms(t, func(t *ast.Term) bool {
		switch t.Value.(type) {
		case ast.Null, ast.Boolean, ast.Number, ast.String, *ast.Array, ast.Object, ast.Set:
		default:
			written = false
		}
		return !written
	})
	return written
}

func alone(v ast.Value) ast.Value { return ast.NewArray(ast.NewTerm(v)) }

// denial reads a member of deny as the answer is read that it makes.
func denial(v ast.Value) error {
	err := eachPart(v, func(key string, value ast.Value) (err error) {
		switch key {
		case "audit":
			_, err = oneOf(value, auditLevels...)
		case "would":
			err = errors.New("is not a part of a denial")
		default:
			err = new(said).part(key, value)
		}
		return err
	})
	if err == nil && ruleOf(v) == "" {
		err = errNoRule
	}
	return ofRule(v, err)
}

// misread says what is wrong with the members of a set of which base could make no word. words are those that may stand under the key; none:
// any text. Where no member is wrong, err is.
func misread(v ast.Value, key string, err error, words ...string) error {
	wrong := eachOf(v, func(v ast.Value) error {
		given := map[string]bool{}
		err := eachPart(v, func(name string, value ast.Value) (err error) {
			given[name] = true
			var s string
			switch {
			case name == key && len(words) > 0:
				_, err = oneOf(value, words...)
			case name == key, name == "rule":
				if s, err = text(value); err == nil && s == "" {
					err = errors.New("it is empty")
				}
			default:
				err = errors.New("is not a part of it")
			}
			return err
		})
		switch {
		case err != nil:
		case !given["rule"]:
			err = errNoRule
		case !given[key]:
			err = fmt.Errorf("it has no %s", key)
		}
		return ofRule(v, err)
	})
	return cmp.Or(wrong, err)
}

var errNoRule = errors.New("it names no rule")

// ruleOf is the rule that a member of a set names; empty where it names none.
func ruleOf(v ast.Value) string {
	object, ok := v.(ast.Object)
	if !ok {
		return ""
	}
	if rule := object.Get(ast.InternedTerm("rule")); rule != nil {
		s, _ := text(rule.Value)
		return s
	}
	return ""
}

// ofRule says of which rule the member is that an error is about.
func ofRule(v ast.Value, err error) error {
	if rule := ruleOf(v); err != nil && rule != "" {
		return fmt.Errorf("rule %s: %w", rule, err)
	}
	return err
}
