package sink

import (
	"strings"
	"testing"
	"time"
)

// TestLimits: each limit of a sink has a default, and says where it ends.
func TestLimits(t *testing.T) {
	t.Parallel()
	c := Config{Name: "siem", Type: Syslog, URL: "tls://siem.example"}
	if err := c.Check(); err != nil {
		t.Fatal(err)
	}
	if d := c.withDefaults(); d.Lag != time.Minute || d.Batch != 1000 || d.Message != 8192 {
		t.Errorf("the defaults are %s, %d and %d", d.Lag, d.Batch, d.Message)
	}
	for _, at := range []struct {
		set func(c *Config)
		ok  bool
	}{
		{func(c *Config) { c.Lag = time.Second }, true},
		{func(c *Config) { c.Lag = time.Second - 1 }, false},
		{func(c *Config) { c.Lag = 1000 * time.Hour }, true},
		{func(c *Config) { c.Batch = 1 }, true},
		{func(c *Config) { c.Batch = -1 }, false},
		{func(c *Config) { c.Batch = maxBatch }, true},
		{func(c *Config) { c.Batch = maxBatch + 1 }, false},
		{func(c *Config) { c.Message = minMessage }, true},
		{func(c *Config) { c.Message = minMessage - 1 }, false},
		{func(c *Config) { c.Message = maxMessage }, true},
		{func(c *Config) { c.Message = maxMessage + 1 }, false},
		{func(c *Config) { c.Name = strings.Repeat("a", 32) }, true},
		{func(c *Config) { c.Name = strings.Repeat("a", 33) }, false},
	} {
		changed := c
		at.set(&changed)
		if err := changed.Check(); (err == nil) != at.ok {
			t.Errorf("%+v: %v", changed, err)
		}
	}
}
