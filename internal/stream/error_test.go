package stream

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
)

func TestErrorHasTwoReaders(t *testing.T) {
	t.Parallel()
	e := &Error{Condition: PolicyViolation, App: "stanza-too-big", Text: "for the peer", Err: fmt.Errorf("for us: %w", io.EOF)}
	if got, want := e.Error(), "policy-violation (stanza-too-big): for the peer: for us: EOF"; got != want {
		t.Errorf("the operator reads %q, want %q", got, want)
	}
	if sent := string(e.appendTo(nil)); strings.Contains(sent, "for us") || !strings.Contains(sent, "for the peer") {
		t.Errorf("the peer reads %s", sent)
	}
	wrapped := fmt.Errorf("carrying: %w", e)
	for _, target := range []error{PolicyViolation, &Error{Condition: PolicyViolation}, io.EOF} {
		if !errors.Is(wrapped, target) {
			t.Errorf("%v is not found in it", target)
		}
	}
	for _, target := range []error{HostUnknown, &Error{Condition: HostUnknown}, UndefinedCondition, &Error{}, io.ErrUnexpectedEOF} {
		if errors.Is(wrapped, target) {
			t.Errorf("%v is found in it", target)
		}
	}
	if zero := (&Error{}); !errors.Is(zero, UndefinedCondition) || zero.Error() != "undefined-condition" {
		t.Errorf("the zero Error says %v", zero)
	}
}

// [C09], ABUSE 2: ids are keys' nonces.
func TestNewIDNeverRepeats(t *testing.T) {
	t.Parallel()
	seen := make(map[string]bool)
	for range 10000 {
		id := NewID()
		if seen[id] || len(id) != idLength || strings.Trim(id, "0123456789abcdef") != "" {
			t.Fatalf("the id %q is old, short, or no name token", id)
		}
		seen[id] = true
	}
}

// [C12], RFC 6120 §4.7.5: both parts are numbers, leading zeros mean nothing, and what is no number is no version.
func TestParseVersion(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]Version{
		"0.0": {}, "0.9": {0, 9}, "1.0": {1, 0}, "1.9": {1, 9}, "1.10": {1, 10}, "01.010": {1, 10}, "2.0": {2, 0}, "65535.65535": {65535, 65535},
	} {
		if got, err := parseVersion(in); err != nil || got != want || got.modern() != (want.Major >= 1) {
			t.Errorf("%q is %v, %v", in, got, err)
		}
	}
	for _, in := range []string{"", ".", "1", "1.", ".0", "1.0.0", "-1.0", "+1.0", "1.-0", " 1.0", "1.0 ", "1,0", "1.0x", "0x1.0", "1e0.0", "1_0.0", "١.٠", "65536.0"} {
		if got, err := parseVersion(in); err == nil || got != (Version{}) {
			t.Errorf("%q is taken for version %v", in, got)
		}
	}
}
