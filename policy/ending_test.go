package policy

import (
	"strings"
	"testing"
	"time"
)

func TestEnding(t *testing.T) {
	t.Parallel()
	grant := func(until string) map[string]any {
		return map[string]any{"rules": []any{"files"}, "peers": []any{"x.example"}, "owner": "legal", "ticket": "OPS-7", "reason": "r", "until": until}
	}
	s := engine(t, Config{}, Data{
		"grants": map[string]any{"over": grant("2027-01-01"), "soon": grant("2027-01-20"), "later": grant("2027-06-30"), "moment": grant("2027-01-16T12:00:00Z")},
		"peers":  map[string]any{"old.example": map[string]any{"until": "2027-01-16"}, "gone.example": map[string]any{"until": "2026-01-15"}, "partner.example": map[string]any{}},
	}).Snapshot()
	got := strings.Join(s.Ending(time.Date(2027, 1, 15, 12, 0, 0, 0, time.UTC), 14*24*time.Hour), "\n")
	want := `data.grants["moment"] ends: until "2027-01-16T12:00:00Z", owner "legal", ticket "OPS-7"
data.grants["over"] has ended: until "2027-01-01", owner "legal", ticket "OPS-7"
data.grants["soon"] ends: until "2027-01-20", owner "legal", ticket "OPS-7"
data.peers["old.example"] ends: until "2027-01-16"`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if lines := engine(t, Config{}, nil).Snapshot().Ending(time.Now(), time.Hour); lines != nil {
		t.Errorf("nothing is given, and %q ends", lines)
	}
}
