package audit

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

const segmentSuffix = ".jsonl"

// segmentName names the files so that their order is that of a directory listing.
func segmentName(number int) string { return fmt.Sprintf("%08d%s", number, segmentSuffix) }

// segments lists the numbers of a directory's segments in order. Other files are none of ours.
func segments(dir string) ([]int, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("listing the record: %w", err)
	}
	var numbers []int
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), segmentSuffix)
		if !ok || e.IsDir() {
			continue
		}
		if n, err := strconv.Atoi(name); err == nil && n > 0 && segmentName(n) == e.Name() {
			numbers = append(numbers, n)
		}
	}
	slices.Sort(numbers)
	return numbers, nil
}

// maxLine is the longest line that readers take in, far above what this version writes.
const maxLine = 16 << 20

// errLongLine: a line that no writer of ours has written.
var errLongLine = fmt.Errorf("a line is longer than %d MiB", maxLine>>20)

// lineReader reads the whole lines of a segment, and remembers where it is.
type lineReader struct {
	name   string // of the file
	f      *os.File
	r      *bufio.Reader
	offset int64  // of the next line
	number int    // of the line read last, from 1
	long   []byte // a line that does not fit the reader's buffer
}

// openLines reads a segment from an offset, which must be the beginning of a line. Close it afterwards.
func openLines(dir string, number int, offset int64) (*lineReader, error) {
	f, err := os.Open(filepath.Join(dir, segmentName(number)))
	if err != nil {
		return nil, err
	}
	if _, err := f.Seek(offset, io.SeekStart); err != nil {
		f.Close()
		return nil, err
	}
	return &lineReader{name: segmentName(number), f: f, r: bufio.NewReaderSize(f, 256<<10), offset: offset}, nil
}

func (l *lineReader) Close() error { return l.f.Close() }

// next gives the next whole line without its end, valid until the next call. io.EOF: there is none, or none yet; what may stand
// behind the last whole line is not passed over, and torn says how much it is. errLongLine: the line is passed over.
func (l *lineReader) next() (line []byte, torn int, err error) {
	l.long = l.long[:0]
	size := 0
	for {
		part, err := l.r.ReadSlice('\n')
		size += len(part)
		if err == nil && size == len(part) {
			line = part
			break
		}
		if size <= maxLine {
			l.long = append(l.long, part...)
		}
		if err == nil {
			line = l.long
			break
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
		case errors.Is(err, io.EOF):
			return nil, size, io.EOF
		default:
			return nil, 0, fmt.Errorf("reading %s: %w", l.name, err)
		}
	}
	l.offset += int64(size)
	l.number++
	if size > maxLine {
		return nil, 0, errLongLine
	}
	return line[:len(line)-1], 0, nil
}

// again reads from the last whole line's end on, where the file may have grown since.
func (l *lineReader) again() error {
	if _, err := l.f.Seek(l.offset, io.SeekStart); err != nil {
		return err
	}
	l.r.Reset(l.f)
	return nil
}

// gone says whether an error means that a file is not there.
func gone(err error) bool { return errors.Is(err, fs.ErrNotExist) }
