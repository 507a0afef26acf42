package config

import (
	"fmt"
	"strings"

	"sallyport/audit/sink"
)

// checkSinks: each is told of on its own, and names are cursors' files, so that two cannot have the same.
func (r report) checkSinks(sinks []sink.Config) {
	seen := make(map[string]bool)
	for i, s := range sinks {
		path := fmt.Sprintf("audit.sinks[%d]", i)
		if seen[s.Name] {
			r.About(path+".name", "two sinks have this name")
		}
		seen[s.Name] = true
		if r.Told(path + ".type") {
			continue
		}
		if err := s.Check(); err != nil {
			for line := range strings.Lines(err.Error()) {
				// Each begins with the key that it is about, the key's value behind it or not.
				about, text, _ := strings.Cut(strings.TrimSpace(line), ": ")
				key, value, _ := strings.Cut(about, " ")
				if value != "" {
					text = value + ": " + text
				}
				r.About(path+"."+key, "%s", text)
			}
		}
	}
}
