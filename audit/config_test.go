package audit

import (
	"strings"
	"testing"
	"time"
)

func TestConfigCheck(t *testing.T) {
	t.Parallel()
	if err := (Config{}).Check(); err != nil {
		t.Errorf("the defaults: %v", err)
	}
	for want, c := range map[string]Config{
		"audit.checkpoint 999ms: must be between 1s and 1h": {Checkpoint: 999 * time.Millisecond},
		"audit.checkpoint 1h0m1s: must be":                  {Checkpoint: time.Hour + time.Second},
		"audit.patience 999ms: must be between 1s and 10m":  {Patience: 999 * time.Millisecond},
		"audit.patience 10m0.001s: must be":                 {Patience: 10*time.Minute + time.Millisecond},
		`audit.compress "gzip": must be zstd or none`:       {Compress: "gzip"},
		"audit.secrets /var/audit/x: must not be":           {Dir: "/var/audit", Secrets: "/var/audit/x"},
		"audit.secrets /var/audit: must not be":             {Dir: "/var/audit/", Secrets: "/var/audit"},
	} {
		if err := c.Check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	if err := (Config{Dir: "/var/audit", Secrets: "/var/audit.secrets", Checkpoint: time.Hour}).Check(); err != nil {
		t.Error(err)
	}
}
