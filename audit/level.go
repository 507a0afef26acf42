package audit

import "fmt"

// Level is how much of a stanza is recorded. Each level includes what the one below it has.
type Level uint8

const (
	LevelDefault  Level = iota // metadata
	LevelNone                  // counted only
	LevelLink                  // the domains, the link, kind, size and the decision
	LevelMetadata              // addresses, id, type, class, labels
	LevelSealed                // content, encrypted to the auditors
	LevelContent               // content in clear
)

var levelNames = [...]string{LevelDefault: "metadata", LevelNone: "none", LevelLink: "link", LevelMetadata: "metadata", LevelSealed: "sealed", LevelContent: "content"}

// ParseLevel reads a level as policy names it. The empty string is LevelDefault. The error is for a name that is no level.
func ParseLevel(s string) (Level, error) {
	if s == "" {
		return LevelDefault, nil
	}
	for l := LevelNone; l <= LevelContent; l++ {
		if levelNames[l] == s {
			return l, nil
		}
	}
	return LevelDefault, fmt.Errorf("audit level %q: must be none, link, metadata, sealed or content", s)
}

// String gives the level's name; LevelDefault is the level it stands for.
func (l Level) String() string {
	if int(l) >= len(levelNames) {
		return levelNames[LevelDefault]
	}
	return levelNames[l]
}

// effective is the level at which an event that asks for l is recorded.
func (l Level) effective() Level {
	if l == LevelDefault || l > LevelContent {
		return LevelMetadata
	}
	return l
}
