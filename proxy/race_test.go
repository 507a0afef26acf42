//go:build race

package proxy_test

// underRace: the race detector makes everything five to ten times as slow.
const underRace = true
