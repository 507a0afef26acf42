package audit

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// checkpointsName is the file that the checkpoints of a record are appended to.
const checkpointsName = "checkpoints"

// Checkpoint says under signature what the record held at one moment: how many lines, and the hash of the tree over them (C2SP
// tlog-checkpoint, in a C2SP signed-note). What else the gate says stands in extension lines, each a word and a value.
type Checkpoint struct {
	Origin     string        // the name of the gate whose record it is, which the signature repeats
	Size       int64         // lines: the seq of the last one
	Root       tlog.Hash     // of the tree over them
	Number     uint64        // of the record's checkpoints, from 1, so that one that was taken out is missed
	Time       time.Time     // when it was made
	Event      string        // why: start, tick, rotate or stop
	Every      time.Duration // the longest until the next, unless it is stop
	Durability string        // the gate's: what is said of the lines here is durable in either
	Note       []byte        // the whole, signed
}

// Values of Checkpoint.Event.
const (
	CheckpointStart  = "start"
	CheckpointTick   = "tick"
	CheckpointRotate = "rotate"
	CheckpointStop   = "stop"
)

// text is what is signed.
func (c *Checkpoint) text() string {
	return fmt.Sprintf("%s\n%d\n%s\nnumber %d\ntime %s\nevent %s\nevery %s\ndurability %s\n",
		c.Origin, c.Size, c.Root, c.Number, appendTime(nil, c.Time), c.Event, c.Every, c.Durability)
}

// sign completes the checkpoint.
func (c *Checkpoint) sign(by note.Signer) (err error) {
	c.Note, err = note.Sign(&note.Note{Text: c.text()}, by)
	return err
}

var errNoCheckpoint = errors.New("not a checkpoint: after the origin come the number of lines and the hash of their tree")

// parseCheckpoint reads what a note says, whoever signed it. Extension lines that are not ours are passed over.
func parseCheckpoint(text string) (c Checkpoint, err error) {
	lines := strings.Split(text, "\n")
	if len(lines) < 4 || lines[len(lines)-1] != "" || lines[0] == "" {
		return c, errNoCheckpoint
	}
	c.Origin = lines[0]
	if c.Size, err = strconv.ParseInt(lines[1], 10, 64); err != nil || c.Size < 0 || strconv.FormatInt(c.Size, 10) != lines[1] {
		return c, errNoCheckpoint
	}
	root, err := base64.StdEncoding.Strict().DecodeString(lines[2])
	if err != nil || copy(c.Root[:], root) != tlog.HashSize || len(root) != tlog.HashSize {
		return c, errNoCheckpoint
	}
	for _, line := range lines[3 : len(lines)-1] {
		word, value, _ := strings.Cut(line, " ")
		var err error
		switch word {
		case "":
			return c, errNoCheckpoint
		case "number":
			c.Number, err = strconv.ParseUint(value, 10, 64)
		case "time":
			c.Time, err = time.Parse(timeLayout, value)
		case "every":
			c.Every, err = time.ParseDuration(value)
		case "event":
			c.Event = value
		case "durability":
			c.Durability = value
		}
		if err != nil {
			return c, fmt.Errorf("checkpoint: %s: %w", word, err)
		}
	}
	return c, nil
}

// Keys are the public keys whose signatures count.
type Keys struct{ list []note.Verifier }

// ParseKeys reads public keys as `sallyport audit key` prints them, one a line.
func ParseKeys(text string) (Keys, error) {
	var k Keys
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		v, err := note.NewVerifier(line)
		if err != nil {
			return k, fmt.Errorf("public key %q: %w; it has the form name+hash+key", clip(line), err)
		}
		k.add(v)
	}
	return k, nil
}

// Join gives the keys of both.
func (k Keys) Join(more Keys) Keys {
	both := Keys{append([]note.Verifier(nil), k.list...)}
	for _, v := range more.list {
		both.add(v)
	}
	return both
}

// add takes each key once: two of a name and hash would make both useless to the library.
func (k *Keys) add(v note.Verifier) {
	for _, have := range k.list {
		if have.Name() == v.Name() && have.KeyHash() == v.KeyHash() {
			return
		}
	}
	k.list = append(k.list, v)
}

// None says whether there is no key.
func (k Keys) None() bool { return len(k.list) == 0 }

// open reads a signed note, and holds it to be signed by one of the keys.
func (k Keys) open(signed []byte) (*note.Note, error) {
	n, err := note.Open(signed, note.VerifierList(k.list...))
	var none *note.UnverifiedNoteError
	if errors.As(err, &none) {
		var by []string
		for _, s := range none.Note.UnverifiedSigs {
			by = append(by, fmt.Sprintf("%s+%08x", s.Name, s.Hash))
		}
		return nil, fmt.Errorf("signed by %s, which is none of the keys given", strings.Join(by, ", "))
	}
	return n, err
}

// OpenCheckpoint reads a signed checkpoint. The error is for one that no key of k has signed in the name of its origin, and for what
// is none.
func (k Keys) OpenCheckpoint(signed []byte) (Checkpoint, error) {
	n, err := k.open(signed)
	if err != nil {
		return Checkpoint{}, err
	}
	c, err := parseCheckpoint(n.Text)
	if err != nil {
		return c, err
	}
	c.Note = signed
	for _, s := range n.Sigs {
		if s.Name == c.Origin {
			return c, nil
		}
	}
	return c, fmt.Errorf("a checkpoint of %s, signed by %s", c.Origin, n.Sigs[0].Name)
}

// OpenPosted is OpenCheckpoint for one of a file that checkpoints are posted to: what a write that failed has left of the one before it is
// passed over.
func (k Keys) OpenPosted(signed []byte) (c Checkpoint, err error) {
	c, err = k.OpenCheckpoint(signed)
	for rest := signed; err != nil; {
		_, after, ok := bytes.Cut(rest, []byte("\n"))
		if rest = after; !ok || !bytes.Contains(rest, noteBreak) {
			break
		}
		if c, restErr := k.OpenCheckpoint(rest); restErr == nil {
			return c, nil
		}
	}
	return c, err
}

// SplitNotes takes signed notes apart that stand one after another in a file. What is behind the last whole one, or is none, comes as
// rest: a note that is being written just now, or that a crash cut in two.
func SplitNotes(b []byte) (notes [][]byte, rest []byte) {
	for {
		end := endOfNote(b)
		if end < 0 {
			return notes, b
		}
		notes = append(notes, b[:end:end])
		b = b[end:]
	}
}

var (
	noteBreak  = []byte("\n\n")
	noteSign   = []byte("— ")
	noteSigned = []byte("\n\n— ")
)

// endOfNote finds where the first note ends: behind its signature lines, which follow an empty line. -1: it has no end.
func endOfNote(b []byte) int {
	at := bytes.Index(b, noteSigned)
	if at < 0 {
		return -1
	}
	end := at + len(noteBreak)
	for bytes.HasPrefix(b[end:], noteSign) {
		n := bytes.IndexByte(b[end:], '\n')
		if n < 0 {
			return -1
		}
		end += n + 1
	}
	return end
}

// originOf makes a gate's name fit for a signature: no spaces, no plus.
func originOf(node string) string {
	name := strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) || !unicode.IsPrint(r) || r == '+' {
			return '-'
		}
		return r
	}, node)
	if name == "" {
		return "sallyport"
	}
	return name
}
