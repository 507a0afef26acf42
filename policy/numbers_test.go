package policy

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// differentCards are cards of different numbers, one behind the other.
func differentCards(bytes int) string {
	var b strings.Builder
	for n := 0; b.Len()+17 <= bytes; n++ {
		number := fmt.Sprintf("4%015d", n)
		run := make([]figure, len(number))
		for i := range number {
			run[i].value = int(number[i] - '0')
		}
		if luhn(run) {
			b.WriteString(number + "x")
		}
	}
	return b.String()
}

// Numbers are found beside others, in whatever dress; the examples of IBANs are the registry's.
func TestNumbers(t *testing.T) {
	t.Parallel()
	for _, v := range []struct {
		kind, in string
		want     []string
	}{
		{"card", "4111111111111111", []string{"4111111111111111"}},
		{"card", "4111 1111 1111 1111 12/27", []string{"4111 1111 1111 1111"}},
		{"card", "4111111111111111 123", []string{"4111111111111111"}},
		{"card", "1 4111111111111111", []string{"4111111111111111"}},
		{"card", "x4111.1111.1111.1111_", []string{"4111.1111.1111.1111"}},
		{"card", "4111  1111 - 1111  1111", []string{"4111  1111 - 1111  1111"}},
		{"card", "378282246310005, 5555555555554444; 6011111111111117", []string{"378282246310005", "5555555555554444", "6011111111111117"}},
		{"card", "4111111111111112", nil},
		{"card", "9999999999999995", []string{"9999999999999995"}}, // alone, the check digit is enough
		{"card", "12 9999999999999995 12 9999999999999995 1", nil}, // among others it is not
		{"card", "4111    1111    1111    1111", nil},              // four signs apart they are four numbers
		{"card", "4111 1111\n1111 1111", nil},                      // so they are on two lines
		{"iban", "DE89370400440532013000", []string{"DE89370400440532013000"}},
		{"iban", "de89 3704 0044 0532 0130 00 pay now", []string{"de89 3704 0044 0532 0130 00"}},
		{"iban", "DE89 3704 0044 0532 0130 00 BIC COBADEFF", []string{"DE89 3704 0044 0532 0130 00"}},
		{"iban", "GB12DE89370400440532013000", []string{"DE89370400440532013000"}},
		{"iban", "NO9386011117947 MT84MALT011000012345MTLCAST001S", []string{"NO9386011117947", "MT84MALT011000012345MTLCAST001S"}},
		{"iban", "DE88370400440532013000 ZZ89370400440532013000 DE", nil},
	} {
		if got := numbersIn(v.kind, v.in); !slices.Equal(got, v.want) {
			t.Errorf("%s in %q: %q, want %q", v.kind, v.in, got, v.want)
		}
	}
}

// Nobody can make the gate's finders late: whatever is written, a text of 10 kB takes a part of policy.timeout.
func TestNumbersAreFoundInTime(t *testing.T) {
	t.Parallel()
	finders := M{"cards": M{"kind": "card", "do": "mask"}, "accounts": M{"kind": "iban", "do": "mask"}}
	s := engine(t, Config{}, Data{"federation": "open", "dlp": M{"finders": finders}}).Snapshot()
	bound := 50 * time.Millisecond
	if underRace {
		bound *= 10 // for its own slowness
	}
	for name, piece := range map[string]string{"digits": "4", "cards": "4111111111111111x", "different cards": differentCards(10_000), "apart": "4 - ", "accounts": "DE89370400440532013000", "letters": "DE89"} {
		in := crossing()
		in.Stanza.Text = strings.Repeat(piece, 10_000/len(piece))
		best := time.Hour
		for tries := 0; tries < 20 && best > bound; tries++ { // the machine may be busy
			start := time.Now()
			if _, _, err := s.judge(t.Context(), in); err != nil {
				t.Fatal(err)
			}
			best = min(best, time.Since(start))
		}
		if best > bound {
			t.Errorf("%s: %v", name, best)
		}
		t.Logf("%s: %v", name, best)
	}
}
