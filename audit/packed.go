package audit

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"sort"

	"github.com/klauspost/compress/zstd"
)

// packedSuffix stands behind the name of a closed segment in its compressed form: Zstandard frames (RFC 8878), each of whole lines, so
// that any of them can be read without the others, and zstdcat reads them all.
const packedSuffix = ".zst"

const (
	blockBytes = 256 << 10            // a block ends with the line that brings it to this size
	maxBlock   = blockBytes + maxLine // or here, be it inside a line
)

// packed reads the compressed form by the offsets of the plain one.
type packed struct {
	f      *os.File
	frames []frame
	whole  int64 // plain bytes in frames
	broken error // what stands behind the last of frames, unless that is the file's end

	decoder *zstd.Decoder
	at      int    // the frame that plain holds
	plain   []byte // its bytes
	raw     []byte
	room    []byte // for plain
}

// frame is one of the compressed form.
type frame struct {
	plain, at   int64 // where it begins, in either form
	size, bytes int   // in either form
}

// blockError says that a block of a compressed segment cannot be read. Readers pass over it.
type blockError struct {
	end int64 // of the block, in plain bytes
	err error
}

func (e *blockError) Error() string    { return e.err.Error() }
func (e *blockError) Unwrap() error    { return e.err }
func (e *blockError) Is(is error) bool { return is == errPassedOver }

// openPacked opens a compressed segment and finds its frames.
func openPacked(path string) (*packed, error) {
	f, err := openRegular(path)
	if err != nil {
		return nil, err
	}
	p := &packed{f: f, at: -1}
	st, err := f.Stat()
	if err == nil {
		p.decoder, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxBlock), zstd.WithDecodeAllCapLimit(true))
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	for at := int64(0); at < st.Size(); {
		fr, err := frameAt(f, at)
		if err == nil && at+int64(fr.bytes) > st.Size() {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			p.broken = fmt.Errorf("byte %d of the compressed segment: %w", at, err)
			break
		}
		fr.plain = p.whole
		p.frames = append(p.frames, fr)
		p.whole += int64(fr.size)
		at += int64(fr.bytes)
	}
	return p, nil
}

var errFrame = errors.New("not a frame as the record has them")

// frameAt measures the frame that begins at an offset of a file, by its header and those of its blocks (RFC 8878 §3.1.1).
func frameAt(f io.ReaderAt, at int64) (frame, error) {
	var b [zstd.HeaderMaxSize]byte
	n, err := f.ReadAt(b[:], at)
	if err != nil && !errors.Is(err, io.EOF) {
		return frame{}, err
	}
	var h zstd.Header
	if h.Decode(b[:n]) != nil || h.Skippable || !h.HasFCS || h.FrameContentSize == 0 || h.FrameContentSize > maxBlock {
		return frame{}, errFrame
	}
	end := at + int64(h.HeaderSize)
	for last := false; !last; {
		if _, err := f.ReadAt(b[:3], end); err != nil {
			return frame{}, err
		}
		header := binary.LittleEndian.Uint32(b[:4]) & 0xffffff
		last = header&1 == 1
		size := int64(header >> 3)
		if header>>1&3 == 1 { // one byte, repeated
			size = 1
		}
		if end += 3 + size; end-at > 2*maxBlock {
			return frame{}, errFrame
		}
	}
	if h.HasCheckSum {
		end += 4
	}
	return frame{at: at, size: int(h.FrameContentSize), bytes: int(end - at)}, nil
}

func (p *packed) Close() error {
	p.decoder.Close()
	return p.f.Close()
}

// size is that of the plain form, as far as the frames can be found.
func (p *packed) size() (int64, error) { return p.whole, nil }

// ReadAt implements io.ReaderAt over the plain form. The error is a *blockError where a block cannot be read.
func (p *packed) ReadAt(b []byte, off int64) (n int, err error) {
	for n < len(b) {
		if off == p.whole && p.broken != nil {
			return n, &blockError{off + 1, p.broken}
		}
		if off >= p.whole {
			return n, io.EOF
		}
		i := sort.Search(len(p.frames), func(i int) bool { return p.frames[i].plain > off }) - 1
		fr := p.frames[i]
		if err := p.load(i); err != nil {
			return n, &blockError{fr.plain + int64(fr.size), fmt.Errorf("byte %d of the compressed segment: %w", fr.at, err)}
		}
		m := copy(b[n:], p.plain[off-fr.plain:])
		n += m
		off += int64(m)
	}
	return n, nil
}

func (p *packed) load(i int) error {
	if p.at == i {
		return nil
	}
	p.at = -1
	fr := p.frames[i]
	if cap(p.raw) < fr.bytes {
		p.raw = make([]byte, fr.bytes)
	}
	if cap(p.room) < fr.size {
		p.room = make([]byte, fr.size)
	}
	raw := p.raw[:fr.bytes]
	if _, err := p.f.ReadAt(raw, fr.at); err != nil {
		return err
	}
	// The capacity is the limit to what a frame can grow to.
	plain, err := p.decoder.DecodeAll(raw, p.room[:0:fr.size])
	if err != nil {
		return err
	}
	if len(plain) != fr.size {
		return errFrame
	}
	p.plain, p.at = plain, i
	return nil
}
