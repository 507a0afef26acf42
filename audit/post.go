package audit

import (
	"errors"
	"io"
	"log/slog"
	"os"
	"time"
)

const (
	maxPosted = 64              // checkpoints that wait to be posted; newer ones say all that older ones did
	postWait  = 5 * time.Second // at the end
)

// postman brings checkpoints out of the operator's reach, one after another, in a goroutine of its own: a network disk that hangs does
// not hold up the record.
type postman struct {
	path string
	hook func(signed []byte)
	log  *slog.Logger
	bag  chan []byte
	done chan struct{}

	ailing bool // owned by run
}

// newPostman is nil where checkpoints go nowhere.
func newPostman(c Config) *postman {
	if c.CheckpointTo == "" && c.OnCheckpoint == nil {
		return nil
	}
	p := &postman{path: c.CheckpointTo, hook: c.OnCheckpoint, log: c.Log, bag: make(chan []byte, maxPosted), done: make(chan struct{})}
	go p.run()
	return p
}

// post does not wait: what finds no room is left out, and the next one covers it.
func (p *postman) post(signed []byte) {
	if p == nil {
		return
	}
	select {
	case p.bag <- signed:
	default:
	}
}

func (p *postman) run() {
	defer close(p.done)
	for signed := range p.bag {
		if p.hook != nil {
			p.hook(signed)
		}
		if p.path == "" {
			continue
		}
		err := appendFile(p.path, signed)
		switch {
		case err != nil && !p.ailing:
			p.log.Warn("a checkpoint of the audit record cannot be posted; the next one will be", "file", p.path, "error", err)
		case err == nil && p.ailing:
			p.log.Info("checkpoints of the audit record are posted again", "file", p.path)
		}
		p.ailing = err != nil
	}
}

// close waits a little for what is still to be posted.
func (p *postman) close() {
	if p == nil {
		return
	}
	close(p.bag)
	select {
	case <-p.done:
	case <-time.After(postWait):
		p.log.Warn("the last checkpoints of the audit record were not posted", "after", postWait.String())
	}
}

// appendFile begins a line of its own, also where a write that failed has left half of one.
func appendFile(path string, b []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	if !endsWithLine(path) {
		b = append([]byte{'\n'}, b...)
	}
	_, err = f.Write(b)
	return errors.Join(err, f.Sync(), f.Close())
}

// endsWithLine says whether a file is empty or ends with a line's end. One that cannot be read is taken to.
func endsWithLine(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return true
	}
	defer f.Close()
	end, err := f.Seek(-1, io.SeekEnd)
	if err != nil {
		return true
	}
	var last [1]byte
	_, err = f.ReadAt(last[:], end)
	return err != nil || last[0] == '\n'
}
