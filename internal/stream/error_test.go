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
