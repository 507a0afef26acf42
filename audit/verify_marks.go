package audit

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"time"
)

// maxNote is the longest note that is read: far more than a gate writes, with room for a hundred witnesses.
const maxNote = 64 << 10

// noteScanner takes the notes of a stream one by one. What has no end is given too: the last one, and what is too long for a note.
func noteScanner(r io.Reader) *bufio.Scanner {
	s := bufio.NewScanner(r)
	s.Buffer(make([]byte, 0, 4<<10), maxNote)
	s.Split(func(data []byte, atEOF bool) (int, []byte, error) {
		end := endOfNote(data)
		switch {
		case end >= 0 && (len(data)-end >= len(noteSign) || atEOF):
			return end, data[:end], nil
		case atEOF && len(data) > 0, len(data) >= maxNote/2:
			return len(data), data, nil
		}
		return 0, nil, nil
	})
	return s
}

// markReader takes the checkpoints of a record one by one, in the order of the file, and looks at how they follow one another.
type markReader struct {
	f        *os.File
	scan     *bufio.Scanner
	keys     Keys
	v        *verifier
	shown    map[uint64]Checkpoint // by number, from outside
	line     int                   // at which the note in hand begins
	after    int                   // at which the next one does
	last     Checkpoint            // the one before
	count    uint64
	next     *Checkpoint
	furthest int64 // the largest size that stands in any of them, signed or not
}

// open begins to read a file of checkpoints; there may be none.
func (m *markReader) open(path string, keys Keys, v *verifier) (err error) {
	m.keys, m.v, m.after, m.shown = keys, v, 1, map[uint64]Checkpoint{}
	for _, c := range v.proof.outside {
		m.shown[c.Number] = c
	}
	if m.f, err = openRegular(path); gone(err) {
		m.f = nil
		return nil
	} else if err != nil {
		return err
	}
	st, err := m.f.Stat()
	if err != nil {
		return err
	}
	// What a gate that is running adds from here on is left out: its lines may not be seen.
	now := io.NewSectionReader(m.f, 0, st.Size())
	for s := noteScanner(now); s.Scan(); {
		if text, ok := noteText(s.Bytes()); ok {
			if c, err := parseCheckpoint(text); err == nil {
				m.furthest = max(m.furthest, c.Size)
			}
		}
	}
	if _, err = now.Seek(0, io.SeekStart); err != nil {
		return err
	}
	m.scan = noteScanner(now)
	return nil
}

// noteText is what a note says, unverified.
func noteText(signed []byte) (text string, ok bool) {
	for i := len(signed) - 2; i > 0; i-- {
		if signed[i] == '\n' && signed[i-1] == '\n' {
			return string(signed[:i]), true
		}
	}
	return "", false
}

func (m *markReader) close() {
	if m.f != nil {
		m.f.Close()
	}
}

// none says whether there is no checkpoint in the file.
func (m *markReader) none() bool { return m.f == nil || m.peek() == nil && m.count == 0 }

// peek is the next checkpoint whose signature is good, nil at the end.
func (m *markReader) peek() *Checkpoint {
	for m.next == nil && m.scan != nil {
		if !m.scan.Scan() {
			if err := m.scan.Err(); err != nil {
				m.v.fault(checkpointsName, m.after, err.Error())
			}
			m.scan = nil
			break
		}
		signed := m.scan.Bytes()
		m.line = m.after
		for _, c := range signed {
			if c == '\n' {
				m.after++
			}
		}
		if endOfNote(signed) != len(signed) {
			if len(signed) >= maxNote/2 {
				m.v.fault(checkpointsName, m.line, "not a note: it has no signature")
			}
			continue // being written just now, or cut in two by a crash: Open takes it off
		}
		c, err := m.keys.OpenCheckpoint(signed)
		if err != nil {
			m.v.fault(checkpointsName, m.line, err.Error())
			continue
		}
		m.follow(c)
		c.Note = nil // it is valid for now only
		m.last, m.next = c, &c
		m.count++
	}
	return m.next
}

func (m *markReader) take() { m.next = nil }

// follow checks a checkpoint against the one before it and those that were shown.
func (m *markReader) follow(c Checkpoint) {
	fault := func(format string, args ...any) {
		m.v.fault(checkpointsName, m.line, fmt.Sprintf(format, args...))
	}
	if c.Number != m.last.Number+1 {
		fault("checkpoint %d follows %d", c.Number, m.last.Number)
	}
	if shown, ok := m.shown[c.Number]; ok && c.Number > 0 && (shown.Origin != c.Origin || shown.Size != c.Size || shown.Root != c.Root || !shown.Time.Equal(c.Time)) {
		fault("checkpoint %d is not the one that was shown: two of one number were signed", c.Number)
	}
	if m.count == 0 {
		return
	}
	if c.Origin != m.last.Origin {
		fault("the checkpoints are of %s, this one is of %s", m.last.Origin, c.Origin)
	}
	if c.Size < m.last.Size {
		fault("checkpoint %s has %d lines, the one before it %d", c.name(), c.Size, m.last.Size)
	}
	if m.last.Event == CheckpointStop && c.Event == CheckpointStart && c.Size > m.last.Size {
		fault("checkpoint %s begins with %d lines, and the gate had stopped with %d: some were put in while it was stopped", c.name(), c.Size, m.last.Size)
	}
	m.pause(c)
}

// late is how much longer than promised a checkpoint may take without a word.
func late(c Checkpoint) time.Duration { return 2*c.Every + 5*time.Second }

func (m *markReader) pause(c Checkpoint) {
	took := c.Time.Sub(m.last.Time)
	switch {
	case c.Event == CheckpointStart && m.last.Event == CheckpointStop:
		m.add(c.Time, "the gate was stopped")
	case c.Event == CheckpointStart:
		m.add(c.Time, "the gate ended without a word, and was started again")
	case took < 0:
		m.add(c.Time, "the clock went back")
	case took > late(m.last):
		m.add(c.Time, "no checkpoint was made: the gate stood still, or could not write one")
	}
}

func (m *markReader) add(until time.Time, why string) {
	if p := &m.v.report.Pauses; len(*p) < maxFaults {
		*p = append(*p, Pause{m.last.Time, until, why})
	}
}

// finish looks at what comes after the last one.
func (m *markReader) finish() {
	for number, c := range m.shown {
		if number > m.last.Number {
			m.v.fault(checkpointsName, m.after, fmt.Sprintf("it ends with number %d; number %d, of %s, is not in it", m.last.Number, number, appendTime(nil, c.Time)))
		}
		if m.count > 0 && c.Origin != m.last.Origin {
			m.v.fault(checkpointsName, 0, fmt.Sprintf("they are of %s, the one that was shown is of %s", m.last.Origin, c.Origin))
		}
	}
	if m.last.Event == CheckpointStop && m.v.report.Last > uint64(m.last.Size) {
		m.v.here("the gate had stopped with %d lines, and %d are here: some were put in, or it was started just now", m.last.Size, m.v.report.Last)
	}
	if m.count > 0 && m.last.Event != CheckpointStop && m.v.now.Sub(m.last.Time) > late(m.last) {
		m.add(m.v.now, "no checkpoint since: the gate ended without a word, or this is an old copy")
	}
}

// name is how a fault names a checkpoint.
func (c Checkpoint) name() string {
	if c.Number == 0 {
		return fmt.Sprintf("of %d lines", c.Size)
	}
	return fmt.Sprintf("%d of %s", c.Number, appendTime(nil, c.Time))
}
