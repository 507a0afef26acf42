package policy

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestEnding(t *testing.T) {
	t.Parallel()
	grant := func(until string) map[string]any {
		return map[string]any{"rules": []any{"files"}, "peers": []any{"x.example"}, "owner": "legal", "ticket": "OPS-7", "reason": "r", "until": until}
	}
	e := engine(t, Config{}, Data{
		"grants": map[string]any{"over": grant("2027-01-01"), "soon": grant("2027-01-20"), "later": grant("2027-06-30"), "moment": grant("2027-01-16T12:00:00Z")},
		"peers": map[string]any{"old.example": map[string]any{"until": "2027-01-16", "channel": "plaintext"}, "gone.example": map[string]any{"until": "2026-01-15"},
			"partner.example": map[string]any{}},
		"observe": map[string]any{"peers": map[string]any{"new.example": map[string]any{"until": "2027-01-18"}, "other.example": true}},
	})
	now := time.Date(2027, 1, 15, 12, 0, 0, 0, time.UTC)
	want := `data.peers["gone.example"] has ended: until "2026-01-15"
data.grants["over"] has ended: until "2027-01-01", owner "legal", ticket "OPS-7"
data.grants["moment"] ends: until "2027-01-16T12:00:00Z", owner "legal", ticket "OPS-7"
data.peers["old.example"] ends: until "2027-01-16", channel "plaintext"
data.observe.peers["new.example"] ends: until "2027-01-18"
data.grants["soon"] ends: until "2027-01-20", owner "legal", ticket "OPS-7"`
	if got := toldOf(e.Ending(now)); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if all := e.Snapshot().Exceptions(now); len(all) != 7 || all[6].Name != "later" {
		t.Errorf("all of them are\n%s", toldOf(all))
	}
	// The last second of a day still belongs to it, as for the rules.
	midnight := time.Date(2027, 1, 17, 0, 0, 0, 0, time.UTC)
	for at, ended := range map[time.Time]bool{midnight.Add(-1): false, midnight: true} {
		i := slices.IndexFunc(e.Ending(at), func(x Exception) bool { return x.Name == "old.example" })
		if got := e.Ending(at)[i]; got.Ended != ended || !got.Until.Equal(midnight) {
			t.Errorf("at %s: %+v", at, got)
		}
	}
	if all := engine(t, Config{}, nil).Ending(now); len(all) > 0 {
		t.Errorf("nothing is given, and %v ends", all)
	}
}

// How long before is a matter of the configuration.
func TestEndsSoon(t *testing.T) {
	t.Parallel()
	peers := Data{"peers": map[string]any{"old.example": map[string]any{"until": "2027-01-31"}}}
	now := time.Date(2027, 1, 18, 0, 0, 1, 0, time.UTC)
	for soon, told := range map[time.Duration]int{0: 1, 14 * 24 * time.Hour: 1, 13 * 24 * time.Hour: 0, 1: 0} {
		if got := engine(t, Config{EndsSoon: soon}, peers).Ending(now); len(got) != told {
			t.Errorf("with ends_soon %s: %v", soon, got)
		}
	}
	if _, err := New(Config{EndsSoon: -1}, nil); err == nil || !strings.Contains(err.Error(), "policy.ends_soon") {
		t.Errorf("below nothing: %v", err)
	}
}

func toldOf(all []Exception) string {
	var lines []string
	for _, x := range all {
		lines = append(lines, fmt.Sprint(x))
	}
	return strings.Join(lines, "\n")
}
