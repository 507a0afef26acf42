//go:build !race

package stanza

const debug = false

var overwritten []byte
