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
				r.About(path, "%s", strings.TrimSpace(line))
			}
		}
	}
}
