package policy

import (
	"bytes"
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
)

// FuzzAnswer gives arbitrary values for decisions. What is taken for one has an effect and a rule, and nothing that is not obeyed;
// a second reading, over encoding/json, takes and refuses the same. Whatever is not taken is a deny.
func FuzzAnswer(f *testing.F) {
	for _, seed := range []string{
		`{"effect": "allow", "rule": "r"}`, `{"effect": "deny", "rule": "r", "reason": "x", "condition": "forbidden", "message": "m", "labels": ["a"], "audit": "none"}`,
		`{"effect": "drop", "rule": "r", "transforms": [], "notify": null, "retention": ""}`, `{"effect": "allow", "rule": "r", "transforms": ["mask"]}`,
		`{"effect": "allow", "rule": "r", "transforms": [{"rule": "m", "do": "mask", "pattern": "[0-9]+", "with": "#", "order": 1}, {"rule": "s", "do": "strip", "payloads": ["a|b"]}]}`,
		`{"effect": "allow", "rule": "r", "transforms": [{"rule": "m", "do": "mask", "pattern": "(", "with": "#"}]}`, `{"effect": "allow", "rule": "r", "transforms": [{"rule": "f", "do": "fold-presence", "text": "x"}]}`,
		`{"effect": "allow", "rule": "r", "would": "drop", "notify": [{"rule": "n", "to": "officer", "text": "look"}], "retention": "7y"}`, `{"effect": "deny", "rule": "r", "would": "deny"}`,
		`{"effect": "allow", "rule": "r", "require": {"channel": "tls", "proof": "pkix", "tls_min": "1.3"}, "until": "2027-06-30"}`,
		`{"effect": "allow", "rule": "r", "audit": [{"rule": "a", "level": "all"}], "retention": ["7y"]}`, `{"effect": "allow", "rule": "r", "transforms": [{"rule": "s", "do": "strip", "payloads": []}]}`,
		`{"effect": "allow", "rule": "r", "transforms": [{"rule": "m", "do": "mask", "pattern": "x*", "with": "#", "order": "last"}, {"rule": "l", "do": "label", "text": " "}]}`,
		`{"effect": "Allow", "rule": "r"}`, `{"effect": "allow"}`, `{"effect": ["allow"], "rule": "r"}`, `"allow"`, `true`, `null`, `[]`, `{}`,
		`{"effect": "allow", "rule": ""}`, `{"effect": "allow", "rule": "r", "until": "2027-02-30"}`, `{"effect": "allow", "rule": "r", "labels": [1]}`,
		`{"effect": "allow", "rule": "r", "effect ": "deny"}`, `{"effect": "allow\u0000", "rule": "r"}`, `{"effect": "allow", "rule": 1e400}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var want any
		d := json.NewDecoder(bytes.NewReader(text))
		d.UseNumber()
		if d.Decode(&want) != nil {
			return
		}
		value, err := ast.InterfaceToValue(want)
		if err != nil {
			return
		}
		s, stanzaErr := stanzaAnswer(value, &patterns{})
		if ok := decision(want, "audit", "transforms", "notify", "retention"); ok != (stanzaErr == nil) {
			t.Errorf("%s: taken as %+v, %v; the second reading says %v", text, s, stanzaErr, ok)
		}
		l, linkErr := linkAnswer(value)
		ok := decision(want, "require", "until")
		if m, _ := want.(map[string]any); m["effect"] == "drop" || m["would"] == "drop" {
			ok = false
		}
		if ok != (linkErr == nil) {
			t.Errorf("%s: taken as %+v, %v; the second reading says %v", text, l, linkErr, ok)
		}
		if m, _ := want.(map[string]any); s.Effect == Allow && m["effect"] != "allow" || l.Effect == Allow && m["effect"] != "allow" {
			t.Errorf("%s is an allow", text)
		}
		if linkErr == nil && (l.Require.Channel == "" || l.Require.Proof == "" || l.Require.TLSMin == "") {
			t.Errorf("%s requires %+v", text, l.Require)
		}
	})
}

// decision is the second reading: whether a value is a decision with these parts beside those that all have.
func decision(v any, parts ...string) bool {
	m, ok := v.(map[string]any)
	if !ok {
		return false
	}
	rule, _ := m["rule"].(string)
	if effect, _ := m["effect"].(string); rule == "" || effect == "" {
		return false
	}
	for key, value := range m {
		text, isText := value.(string)
		list, isList := value.([]any)
		object, isObject := value.(map[string]any)
		switch {
		case key == "rule", key == "reason", key == "message":
			ok = isText
		case key == "effect":
			ok = slices.Contains([]string{"allow", "deny", "drop"}, text)
		case key == "condition":
			ok = isText && slices.Contains(conditions(), text)
		case key == "would":
			ok = slices.Contains([]string{"allow", "deny", "drop"}, text) && m["effect"] == "allow"
		case key == "labels":
			ok = isList && !slices.ContainsFunc(list, func(v any) bool { _, isText := v.(string); return !isText })
		case !slices.Contains(parts, key):
			ok = false
		case key == "audit":
			ok = slices.Contains([]string{"none", "link", "metadata", "sealed", "content"}, text)
		case key == "until":
			_, day := time.Parse(time.DateOnly, text)
			_, moment := time.Parse(time.RFC3339, text)
			ok = isText && (day == nil || moment == nil)
		case key == "require":
			ok = isObject && requirable(object)
		case key == "retention":
			ok = isText
		case key == "transforms":
			ok = value == nil || isList && !slices.ContainsFunc(list, func(v any) bool { return !change(v) })
		default:
			ok = value == nil || isList && !slices.ContainsFunc(list, func(v any) bool { return !notice(v) })
		}
		if !ok {
			return false
		}
	}
	return true
}

func change(v any) bool {
	m, ok := v.(map[string]any)
	rule, _ := m["rule"].(string)
	if !ok || rule == "" {
		return false
	}
	takes := map[any][]string{"fold-presence": {}, "strip": {"payloads"}, "mask": {"pattern", "with"}, "first-line": {"text"}, "strip-candidates": {}, "label": {"text"}}
	keys, ok := takes[m["do"]]
	for _, key := range keys {
		if _, given := m[key]; !given {
			return false
		}
	}
	for key, value := range m {
		text, isText := value.(string)
		switch {
		case key == "rule", key == "do":
		case key == "order":
			_, isNumber := value.(json.Number)
			ok = ok && isNumber
		case !slices.Contains(keys, key):
			return false
		case key == "payloads":
			list, isList := value.([]any)
			ok = ok && isList && len(list) > 0 && !slices.ContainsFunc(list, func(v any) bool {
				s, isText := v.(string)
				return !isText || s == "" || strings.TrimSpace(s) != s || strings.Index(s, "|") == len(s)-1
			})
		case key == "pattern":
			re, err := regexp.Compile(text)
			with, _ := m["with"].(string)
			ok = ok && isText && err == nil && !re.MatchString(with)
		case key == "text":
			ok = ok && isText && strings.TrimSpace(text) != ""
		default:
			ok = ok && isText
		}
	}
	return ok
}

func notice(v any) bool {
	m, _ := v.(map[string]any)
	for key, value := range m {
		if _, isText := value.(string); !isText || !slices.Contains([]string{"rule", "to", "text"}, key) {
			return false
		}
	}
	return m["rule"] != nil && m["rule"] != "" && m["text"] != nil && m["text"] != ""
}

func requirable(m map[string]any) bool {
	choices := map[string][]string{"channel": {"plaintext", "tls"}, "proof": {"dialback", "dialback+tls", "pkix", "posh", "dane", "pin"}, "tls_min": {"1.2", "1.3"}}
	for key, value := range m {
		if text, ok := value.(string); !ok || !slices.Contains(choices[key], text) {
			return false
		}
	}
	return true
}

// FuzzKey makes two inputs of arbitrary texts: they have one key exactly when what is read of them is the same.
func FuzzKey(f *testing.F) {
	f.Add("a", "b", "c", "d", "", uint16(0))
	f.Add("ab", "", "", "a", "b", uint16(1))
	f.Add("\x01\x00a", "", "\x01\x00", "a", "", uint16(0x8001))
	f.Fuzz(func(t *testing.T, a, b, c, d, e string, at uint16) {
		all := a + b + c + d + e
		cut := 0
		if len(all) > 0 {
			cut = int(at) % len(all)
		}
		one := Input{From: Address{Bare: a}, To: Address{Bare: b}, Stanza: StanzaFacts{Payloads: untilEmpty(c, d, e), Size: int(at)}}
		two := Input{From: Address{Bare: all[:cut]}, To: Address{Bare: all[cut:]}, Stanza: StanzaFacts{Payloads: untilEmpty(e, d, c), Size: int(at)}}
		if at%3 == 0 {
			two.From, two.To = one.From, one.To
		}
		fields := []Field{FieldFromBare, FieldToBare, FieldSize, FieldPayloads}
		var k, l key
		if !k.fill(&one, fields) || !l.fill(&two, fields) {
			return
		}
		same := one.From == two.From && one.To == two.To && slices.Equal(one.Stanza.Payloads, two.Stanza.Payloads)
		if got := bytes.Equal(k.bytes[:k.n], l.bytes[:l.n]); got != same {
			t.Errorf("%+v and %+v: one key %v, one input %v", one, two, got, same)
		}
	})
}

// untilEmpty leaves out what is empty at the end.
func untilEmpty(list ...string) []string {
	for len(list) > 0 && list[len(list)-1] == "" {
		list = list[:len(list)-1]
	}
	return list
}
