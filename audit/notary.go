package audit

import (
	"bytes"
	"cmp"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"
)

// notary keeps the tree over the lines that are in the record, and signs it. It belongs to the writer.
type notary struct {
	disk       disk
	dir        string
	secrets    string // where the copy of the last checkpoint is
	log        *slog.Logger
	now        func() time.Time
	every      time.Duration
	durability string

	signer  signer
	outside *postman // nil: checkpoints go nowhere else
	clerk   *clerk

	leaf     leafHasher
	tree     tree
	treeFile treeFile
	file     file   // of the checkpoints; nil until it can be opened
	end      int64  // bytes in it
	number   uint64 // of the last checkpoint
	due      time.Time
	ailing   bool // something of this could not be written; said once
	off      bool // the record has no tree that could be signed
}

// grow takes lines that are in the record now into the tree.
func (n *notary) grow(lines []byte) {
	if n.off {
		return
	}
	for len(lines) > 0 {
		end := bytes.IndexByte(lines, '\n')
		n.treeFile.pending = n.tree.add(n.leaf.of(lines[:end]), n.treeFile.pending)
		lines = lines[end+1:]
	}
	n.told(n.treeFile.flush())
}

// told tells of a failure once, and whether there was none. What cannot be proved for a while is no reason to refuse a stanza: the lines
// are in the record, and the next checkpoint covers them too.
func (n *notary) told(err error) bool {
	if err != nil && !n.ailing {
		n.ailing = true
		n.log.Warn("the proof of the audit record cannot be written; it is tried again", "error", err)
	}
	return err == nil
}

// checkpoint signs the tree as it stands. The caller has seen to it that all lines in it are on the disk.
func (n *notary) checkpoint(event string) {
	if n.off {
		return
	}
	n.due = time.Now().Add(min(n.every, rotateIn))
	c := Checkpoint{Origin: n.signer.Name(), Size: n.tree.size, Root: n.tree.root(), Number: n.number + 1, Time: n.now().UTC().Round(0), Event: event, Every: n.every, Durability: n.durability}
	if err := c.sign(n.signer); !n.told(err) {
		return
	}
	if !n.told(n.write(c.Note)) {
		return
	}
	n.number, n.due = c.Number, time.Now().Add(n.every)
	n.outside.post(c.Note)
	if n.told(replaceFile(filepath.Join(n.secrets, lastName), c.Note)) {
		n.ailing = false
	}
}

// write brings a note to the disk, behind those that are there.
func (n *notary) write(signed []byte) (err error) {
	if err := n.signer.publish(n.disk, n.dir); err != nil {
		return err
	}
	if n.file == nil {
		if n.file, err = openOrCreate(n.disk, filepath.Join(n.dir, checkpointsName)); err != nil {
			n.file = nil
			return err
		}
		if err := n.disk.syncDir(n.dir); err != nil {
			return err
		}
		if err := n.file.Truncate(n.end); err != nil { // what a crash left of one
			return err
		}
	}
	if err := n.treeFile.flush(); err != nil {
		return err
	}
	if err := n.treeFile.file.sync(); err != nil {
		return err
	}
	if _, err := n.file.WriteAt(signed, n.end); err != nil {
		return err
	}
	if err := n.file.sync(); err != nil {
		return err
	}
	n.end += int64(len(signed))
	return nil
}

func (n *notary) close() {
	n.clerk.close()
	n.outside.close()
	if n.file != nil {
		n.file.Close()
	}
	if n.treeFile.file != nil {
		n.treeFile.file.Close()
	}
}

// checkpoint signs what the record holds, when all of it is on the disk.
func (l *Log) checkpoint(event string) {
	w := &l.w
	if len(w.tail) > 0 {
		if err := w.sync(0); err != nil {
			l.breakDown(nil, err)
			return
		}
	}
	w.notary.checkpoint(event)
}

// appoint makes the notary of a record that is being opened: the key, the tree over the lines that are there, and where the
// checkpoints went on. The events are what has to be said of it in the record.
func (l *Log) appoint(lines uint64) (say []Event, err error) {
	c, n := l.cfg, &l.w.notary
	*n = notary{disk: l.w.disk, dir: c.Dir, secrets: c.Secrets, log: c.Log, now: l.now, every: c.Checkpoint, durability: c.Durability, leaf: newLeafHasher()}
	_, newKey := os.Stat(filepath.Join(c.Secrets, signingKeyName))
	if n.signer, err = openSigner(c); err != nil {
		return nil, err
	}
	_, before, err := publicKeys(filepath.Join(n.dir, publicKeysName))
	if err != nil {
		return nil, err
	}
	if before != "" && before != n.signer.public {
		say = append(say, Event{Kind: AuditSigner, Text: n.signer.public, Error: "the key before it was " + before})
	}
	last, kept, err := n.resume()
	if err != nil {
		return nil, err
	}
	behind := ""
	if kept.Number > last.Number {
		behind = fmt.Sprintf("its last checkpoint has number %d, and this gate has signed %s, of %d lines", last.Number, kept.name(), kept.Size)
		last, n.number = kept, kept.Number
	}
	var odd string
	if n.tree, n.treeFile, odd, err = plant(n.disk, n.dir, int64(min(lines, farthest)), last); err != nil {
		return nil, err
	}
	odd = cmp.Or(behind, odd, n.strange(lines, last, kept))
	if lines >= farthest {
		n.off, odd = true, "its lines have numbers that no gate has given"
	}
	if odd == "" && lines > 0 && last.Note == nil && newKey == nil { // what this key is to sign, it should have signed before
		odd = fmt.Sprintf("it has %d lines, and no checkpoint of them is left", lines)
	}
	if odd != "" {
		c.Log.Error("the audit record is not what it was when its last checkpoint was signed", "reason", odd, "advice", "sallyport audit verify says where; the gate goes on behind it")
		say = append(say, Event{Kind: AuditMismatch, Error: odd})
	}
	n.outside, n.clerk = newPostman(c), startClerk(c, n.signer, l.now)
	return say, nil
}

// lastName is a copy of the last checkpoint, in Config.Secrets: who can write to the record alone cannot take it back to an earlier state
// without the gate's notice.
const lastName = "last.checkpoint"

// strange says what is wrong with a record that is as its own last checkpoint says: it is not as the one says that was kept with the
// secrets, or it has grown while no gate wrote to it.
func (n *notary) strange(lines uint64, last, kept Checkpoint) string {
	if last.Event == CheckpointStop && lines > uint64(last.Size) {
		return fmt.Sprintf("it had %d lines when the gate stopped at %s, and has %d", last.Size, appendTime(nil, last.Time), lines)
	}
	stored, closer, err := openHashes(n.dir)
	if err != nil || len(n.treeFile.pending) > 0 || n.treeFile.lost {
		return ""
	}
	defer closer.Close()
	if 0 < kept.Size && kept.Size <= min(last.Size, stored.leaves) && !stored.holds(kept) {
		return fmt.Sprintf("its first %d lines are not those that this gate has signed in checkpoint %s", kept.Size, kept.name())
	}
	return ""
}

// resume finds where the checkpoints go on, the last one that a key of the record has signed, and the one that was kept with the secrets.
// Who lies there could sign: it is taken as it is.
func (n *notary) resume() (last, kept Checkpoint, err error) {
	kept, err = keptCheckpoint(n.secrets)
	if err != nil && !gone(err) {
		return last, kept, fmt.Errorf("reading %s, the copy of the last checkpoint: %w; without it a record that was cut off is taken for whole", filepath.Join(n.secrets, lastName), err)
	}
	keys, err := ParseKeys(n.signer.public)
	if err != nil {
		return last, kept, err
	}
	if old, err := RecordKeys(n.dir); err == nil {
		keys = keys.Join(old)
	}
	f, err := openRegular(filepath.Join(n.dir, checkpointsName))
	if gone(err) {
		return last, kept, nil
	}
	if err != nil {
		return last, kept, err
	}
	defer f.Close()
	last, n.end, err = newestOf(f, keys)
	n.number = last.Number
	return last, kept, err
}
