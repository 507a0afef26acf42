package policy

import (
	"bytes"
	"encoding/json"
	"reflect"
	"testing"
)

// FuzzDocument holds the JSON reader against encoding/json: what it takes, that reads the same; what that refuses, it
// refuses. The YAML reader has no second to be held against; what it gives must be JSON.
func FuzzDocument(f *testing.F) {
	for _, seed := range []string{
		`{"peers": {"partner.example": {"proof": "pkix", "pins": ["a", 1.5e3, null, true]}}}`, `{"a":1,"a":2}`, `[]`, ``, `{"a":`, "{}\n{}", `{"\u00e9":"\ud800"}`,
		"peers:\n  a.example: {until: 2027-06-30}\n", "a: &x 1\nb: *x\n", "? [a]\n: b\n", "--- 1\n--- 2\n", "a: !!binary x\n", "a: 0o17\nb: .nan\n", "a: \"\\xff\"\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		got, err := readJSON(text)
		var want any
		d := json.NewDecoder(bytes.NewReader(text))
		d.UseNumber()
		wantErr := d.Decode(&want)
		if err == nil && (wantErr != nil || !reflect.DeepEqual(got, want)) {
			t.Errorf("%q read as %v, want %v %v", text, got, want, wantErr)
		}
		if value, err := readYAML(text); err == nil {
			if _, err := json.Marshal(value); err != nil {
				t.Errorf("%q read as %v: %v", text, value, err)
			}
		}
	})
}
