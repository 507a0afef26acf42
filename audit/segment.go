package audit

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

const segmentSuffix = ".jsonl"

// segmentName names the files so that their order is that of a directory listing.
func segmentName(number int) string { return fmt.Sprintf("%08d%s", number, segmentSuffix) }

// segments lists the numbers of a directory's segments in order, in whichever form they are. Other files are none of ours. It looks
// twice: a segment that gets its compressed form meanwhile could be seen in neither.
func segments(dir string) ([]int, error) {
	var numbers []int
	for range 2 {
		entries, err := os.ReadDir(dir)
		if err != nil {
			return nil, fmt.Errorf("listing the record: %w", err)
		}
		for _, e := range entries {
			if n, ok := segmentNumber(e.Name()); ok && !e.IsDir() {
				numbers = append(numbers, n)
			}
		}
	}
	slices.Sort(numbers)
	return slices.Compact(numbers), nil
}

func segmentNumber(name string) (n int, ok bool) {
	plain := strings.TrimSuffix(name, packedSuffix)
	digits, ok := strings.CutSuffix(plain, segmentSuffix)
	n, err := strconv.Atoi(digits)
	return n, ok && err == nil && n > 0 && segmentName(n) == plain
}

// source is a segment to be read, by the offsets of its plain form.
type source interface {
	io.ReaderAt
	io.Closer
	size() (int64, error)
}

type plainFile struct{ *os.File }

func (f plainFile) size() (int64, error) {
	st, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return st.Size(), nil
}

// openSegment opens a segment in the form that it has. Of two forms the plain one counts: the other may have been left half made.
func openSegment(dir string, number int) (source, error) {
	path := filepath.Join(dir, segmentName(number))
	f, err := openRegular(path)
	if gone(err) {
		var p *packed
		if p, err = openPacked(path + packedSuffix); err == nil {
			return p, nil
		}
	}
	if err != nil {
		return nil, err
	}
	return plainFile{f}, nil
}

// openRegular opens a file to be read. A pipe or device that somebody put in its place, on which a reader would wait for ever, is refused.
func openRegular(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	st, err := f.Stat()
	if err == nil && !st.Mode().IsRegular() {
		err = &os.PathError{Op: "open", Path: path, Err: errNotRegular}
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// readRegular is [os.ReadFile] for what lies in the record's directory.
func readRegular(path string) ([]byte, error) {
	f, err := openRegular(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(f)
}

var errNotRegular = errors.New("not a regular file")

// maxLine is the longest line that readers take in, far above what this version writes.
const maxLine = 16 << 20

// errPassedOver is what an error wraps that does not keep a reader from reading on behind what it is about.
var errPassedOver = errors.New("passed over")

// errLongLine: a line that no writer of ours has written.
var errLongLine = fmt.Errorf("a line is longer than %d MiB: %w", maxLine>>20, errPassedOver)

// lineReader reads the whole lines of a segment, and remembers where it is.
type lineReader struct {
	name   string // of the plain form
	src    source
	r      *bufio.Reader
	offset int64  // of the next line
	end    int64  // no line is read beyond
	number int    // of the line read last, from 1
	long   []byte // a line that does not fit the reader's buffer
}

// openLines reads a segment from an offset, which must be the beginning of a line. Close it afterwards.
func openLines(dir string, number int, offset int64) (*lineReader, error) {
	src, err := openSegment(dir, number)
	if err != nil {
		return nil, err
	}
	l := &lineReader{name: segmentName(number), src: src, r: bufio.NewReaderSize(nil, 256<<10), end: math.MaxInt64}
	l.seek(offset)
	return l, nil
}

func (l *lineReader) Close() error { return l.src.Close() }

// seek goes on from an offset.
func (l *lineReader) seek(offset int64) {
	l.offset = offset
	l.r.Reset(io.NewSectionReader(l.src, offset, max(l.end-offset, 0)))
}

// within goes on with a part of the segment, which then is all there is.
func (l *lineReader) within(part extent) {
	l.end, l.number = part.end, part.before
	l.seek(part.start)
}

// next gives the next whole line without its end, valid until the next call. io.EOF: there is none, or none yet; what may stand
// behind the last whole line is not passed over, and torn says how much it is. errPassedOver, wrapped: a line that is too long, or a
// block of them that cannot be read, is passed over.
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
		var block *blockError
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
		case errors.Is(err, io.EOF):
			return nil, size, io.EOF
		case errors.As(err, &block):
			l.seek(block.end)
			return nil, 0, block
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
func (l *lineReader) again() { l.seek(l.offset) }

// gone says whether an error means that a file is not there.
func gone(err error) bool { return errors.Is(err, fs.ErrNotExist) }
