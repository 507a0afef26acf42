package policy

import (
	"errors"
	"fmt"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
)

// stanzaAnswer reads the object that data.sallyport.stanza.decision has become. What it does not understand is an error:
// an instruction that is not obeyed must not pass for an answer that is.
func stanzaAnswer(v ast.Value, p *patterns) (d Decision, err error) {
	var s said
	err = eachPart(v, func(key string, value ast.Value) (err error) {
		switch key {
		case "audit":
			if d.Audit, err = oneOf(value, auditLevels...); err != nil {
				err = misread(value, "level", err, auditLevels...)
			}
		case "transforms":
			d.Transforms, err = p.transforms(value)
		case "notify":
			d.Notify, err = notices(value)
		case "retention":
			if d.Retention, err = text(value); err != nil {
				err = misread(value, "class", err)
			}
		default:
			err = s.part(key, value)
		}
		return err
	})
	d.Effect, d.Rule, d.Reason, d.Condition, d.Message, d.Labels, d.Would = s.effect, s.rule, s.reason, s.condition, s.message, s.labels, s.asked()
	return d, s.settle(err)
}

var auditLevels = []string{"none", "link", "metadata", "sealed", "content"}

// linkAnswer reads the object that data.sallyport.link.decision has become.
func linkAnswer(v ast.Value) (d LinkDecision, err error) {
	var s said
	d.Require = floor()
	err = eachPart(v, func(key string, value ast.Value) (err error) {
		switch key {
		case "require":
			err = requirement(value, &d.Require)
		case "until":
			d.Until, err = untilOf(value)
		default:
			err = s.part(key, value)
		}
		return err
	})
	d.Effect, d.Rule, d.Reason, d.Condition, d.Message, d.Labels, d.Would = s.effect, s.rule, s.reason, s.condition, s.message, s.labels, s.asked()
	if err == nil && (d.Effect == Drop || d.Would == Drop) {
		err = errors.New("a link is allowed or denied, not dropped")
	}
	return d, s.settle(err)
}

// said are the parts that both answers have.
type said struct {
	effect, would                    Effect
	hasEffect, hasWould              bool
	rule, reason, condition, message string
	labels                           []string
}

func (s *said) part(key string, value ast.Value) (err error) {
	switch key {
	case "effect":
		s.hasEffect = true
		s.effect, err = effectOf(value)
	case "would":
		s.hasWould = true
		s.would, err = effectOf(value)
	case "rule":
		s.rule, err = text(value)
	case "reason":
		s.reason, err = text(value)
	case "condition":
		s.condition, err = oneOf(value, conditions()...)
	case "message":
		s.message, err = text(value)
	case "labels":
		s.labels, err = texts(value)
	default:
		err = errors.New("is not a part of a decision")
	}
	return err
}

// asked is the effect that the rule has or, where it is only observed, would have.
func (s *said) asked() Effect {
	if s.hasWould {
		return s.would
	}
	return s.effect
}

// settle says what is wrong with the answer as a whole.
func (s *said) settle(err error) error {
	switch {
	case err != nil:
	case !s.hasEffect:
		err = errors.New("it has no effect")
	case s.rule == "":
		err = errNoRule
	case s.hasWould && s.effect != Allow:
		err = errors.New("what it would do is asked for where it does it")
	default:
		return nil
	}
	return fmt.Errorf("the answer is not a decision: %w", err)
}

// eachPart goes through an object and names the part that is wrong.
func eachPart(v ast.Value, part func(key string, value ast.Value) error) error {
	object, ok := v.(ast.Object)
	if !ok {
		return fmt.Errorf("%v is no object", v)
	}
	return object.Iter(func(k, v *ast.Term) error {
		key, ok := k.Value.(ast.String)
		if !ok {
			return fmt.Errorf("the key %v is no text", k)
		}
		if err := part(string(key), v.Value); err != nil {
			return fmt.Errorf("%s: %w", string(key), err)
		}
		return nil
	})
}

func effectOf(v ast.Value) (Effect, error) {
	word, err := oneOf(v, "allow", "deny", "drop")
	switch {
	case err != nil:
		return Deny, err
	case word == "allow":
		return Allow, nil
	case word == "drop":
		return Drop, nil
	}
	return Deny, nil
}

func requirement(v ast.Value, r *Requirement) error {
	return eachPart(v, func(key string, value ast.Value) (err error) {
		switch key {
		case "channel":
			r.Channel, err = oneOf(value, "plaintext", "tls")
		case "proof":
			r.Proof, err = oneOf(value, "dialback", "dialback+tls", "pkix", "posh", "dane", "pin")
		case "tls_min":
			r.TLSMin, err = oneOf(value, "1.2", "1.3")
		default:
			err = errors.New("cannot be required")
		}
		return err
	})
}

// untilOf reads a day, which ends with its last second, or a moment.
func untilOf(v ast.Value) (time.Time, error) {
	s, err := text(v)
	if err != nil {
		return time.Time{}, err
	}
	if t, err := time.Parse(time.DateOnly, s); err == nil {
		return t.AddDate(0, 0, 1), nil
	}
	return time.Parse(time.RFC3339, s)
}

func text(v ast.Value) (string, error) {
	s, ok := v.(ast.String)
	if !ok {
		return "", fmt.Errorf("%v is no text", v)
	}
	return string(s), nil
}

func oneOf(v ast.Value, words ...string) (string, error) {
	s, err := text(v)
	if err != nil {
		return "", err
	}
	for _, w := range words {
		if s == w {
			return w, nil
		}
	}
	return "", fmt.Errorf("%q is none of %q", s, words)
}

func texts(v ast.Value) (list []string, err error) {
	collect := func(t *ast.Term) error {
		s, err := text(t.Value)
		list = append(list, s)
		return err
	}
	switch v := v.(type) {
	case *ast.Array:
		err = v.Iter(collect)
	case ast.Set:
		err = v.Iter(collect)
	default:
		err = fmt.Errorf("%v is no list", v)
	}
	return list, err
}

// conditions are those of RFC 6120 §8.3.3.
func conditions() []string {
	return []string{
		"bad-request", "conflict", "feature-not-implemented", "forbidden", "gone", "internal-server-error", "item-not-found",
		"jid-malformed", "not-acceptable", "not-allowed", "not-authorized", "policy-violation", "recipient-unavailable",
		"redirect", "registration-required", "remote-server-not-found", "remote-server-timeout", "resource-constraint",
		"service-unavailable", "subscription-required", "undefined-condition", "unexpected-request",
	}
}
