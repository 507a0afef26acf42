//go:build race

package policy

// underRace: the race detector makes everything five to ten times as slow.
const underRace = true
