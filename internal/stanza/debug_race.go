//go:build race

package stanza

import "bytes"

// debug has a buffer that is given back overwritten, so that tests under the race detector find who still looks at an element.
const debug = true

var overwritten = bytes.Repeat([]byte("<gone/>"), busyBuffer/7+1)
