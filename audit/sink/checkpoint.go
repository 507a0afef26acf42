package sink

import (
	"crypto/sha256"
	"encoding/hex"
	"time"
)

// newCheckpoint gives a signed checkpoint an id of its own: the same text has the same one, wherever and however often it is posted.
func newCheckpoint(node, text string) checkpoint {
	sum := sha256.Sum256([]byte(text))
	return checkpoint{node: node, id: hex.EncodeToString(sum[:16]), text: text, time: time.Now().UTC()}
}
