package audit

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/klauspost/compress/zstd"
)

// packer brings closed segments into their compressed form and makes their indexes, one after another, in a goroutine of its own that
// gives way to all others. What it does can be done again at any time: a record is whole with and without it.
type packer struct {
	disk    disk
	dir     string
	secrets string
	log     *slog.Logger

	open atomic.Int64  // number of the segment that is being written
	wake chan struct{} // it has changed
	stop context.CancelFunc
	done chan struct{}

	failing bool // said once
}

// packAgain is how long after a failure it is tried again.
const packAgain = time.Minute

func startPacker(c Config, d disk, open int) *packer {
	ctx, stop := context.WithCancel(context.Background())
	p := &packer{disk: d, dir: c.Dir, secrets: c.Secrets, log: c.Log, wake: make(chan struct{}, 1), stop: stop, done: make(chan struct{})}
	p.begun(open)
	go p.run(ctx)
	return p
}

// begun tells that a segment was begun, so that all before it are closed.
func (p *packer) begun(number int) {
	p.open.Store(int64(number))
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// close ends it. What it was at is left in the plain form.
func (p *packer) close() {
	p.stop()
	<-p.done
}

func (p *packer) run(ctx context.Context) {
	defer close(p.done)
	giveWay()
	for {
		err := p.round(ctx)
		if ctx.Err() != nil {
			return
		}
		if err != nil && !p.failing {
			p.log.Warn("closed audit segments cannot be compressed or indexed; it is tried again", "error", err)
		}
		p.failing = err != nil
		p.pause(ctx)
	}
}

// pause waits for the next segment, and after a failure not only for that.
func (p *packer) pause(ctx context.Context) {
	var again <-chan time.Time
	if p.failing {
		timer := time.NewTimer(packAgain)
		defer timer.Stop()
		again = timer.C
	}
	select {
	case <-ctx.Done():
	case <-p.wake:
	case <-again:
	}
}

// round compresses all closed segments that are not yet, and makes the indexes that are missing.
func (p *packer) round(ctx context.Context) error {
	numbers, err := segments(p.dir)
	if err != nil {
		return err
	}
	for _, n := range numbers {
		if int64(n) >= p.open.Load() {
			break
		}
		if err := p.pack(ctx, n); err != nil {
			return fmt.Errorf("compressing %s: %w", segmentName(n), err)
		}
	}
	did, err := MakeIndexes(ctx, Config{Dir: p.dir, Secrets: p.secrets}, false)
	if len(did.Wrong) > 0 {
		p.log.Warn("indexes of the record did not fit their segments, or this gate did not make them; they are made anew, and no search believed them", "files", did.Wrong)
	}
	return err
}

// pack puts the compressed form of a segment in the place of the plain one. At each moment one of the two is there whole, also after a
// power cut.
func (p *packer) pack(ctx context.Context, number int) error {
	plain := filepath.Join(p.dir, segmentName(number))
	from, err := openRegular(plain)
	if gone(err) {
		return nil
	}
	if err != nil {
		return err
	}
	defer from.Close()
	to := plain + packedSuffix
	beside := to + ".tmp"
	if err := p.disk.remove(beside); err != nil && !gone(err) { // left by a crash
		return err
	}
	err = p.write(ctx, from, beside)
	if err == nil {
		err = same(ctx, from, beside)
	}
	if err == nil {
		err = p.disk.rename(beside, to)
	}
	if err != nil {
		return errors.Join(err, ignoreGone(p.disk.remove(beside)))
	}
	if err := p.disk.syncDir(p.dir); err != nil {
		return err
	}
	if err := p.disk.remove(plain); gone(err) {
		return ignoreGone(p.disk.remove(to)) // the segment was deleted meanwhile
	} else if err != nil {
		return err
	}
	return nil
}

func ignoreGone(err error) error {
	if gone(err) {
		return nil
	}
	return err
}

// write makes the compressed form of a segment, and returns when it is on the disk.
func (p *packer) write(ctx context.Context, from io.Reader, path string) (err error) {
	f, err := p.disk.create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	// With the size in each header, however short the block: readers find the frames by it.
	encoder, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(true), zstd.WithSingleSegment(true))
	if err != nil {
		return err
	}
	defer encoder.Close()
	var raw []byte
	end := int64(0)
	err = blocks(from, func(block []byte) error {
		raw = encoder.EncodeAll(block, raw[:0])
		if _, err := f.WriteAt(raw, end); err != nil {
			return err
		}
		end += int64(len(raw))
		return ctx.Err()
	})
	if err != nil {
		return err
	}
	return f.sync()
}

var errNotTheSame = errors.New("it does not come back as it was")

// same holds a compressed form against the plain one, read as readers do. The plain one is about to go: what cannot be had back from
// the other must show now.
func same(ctx context.Context, plain *os.File, path string) error {
	p, err := openPacked(path)
	if err != nil {
		return err
	}
	defer p.Close()
	st, err := plain.Stat()
	if err != nil {
		return err
	}
	if p.whole != st.Size() {
		return errors.Join(errNotTheSame, p.broken)
	}
	a, b := make([]byte, blockBytes), make([]byte, blockBytes)
	for off := int64(0); off < st.Size(); off += blockBytes {
		n := min(blockBytes, st.Size()-off)
		if _, err := plain.ReadAt(a[:n], off); err != nil {
			return err
		}
		if _, err := p.ReadAt(b[:n], off); err != nil {
			return err
		}
		if !bytes.Equal(a[:n], b[:n]) {
			return errNotTheSame
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return nil
}

// blocks cuts a segment into pieces: of whole lines, unless one is longer than any that is read.
func blocks(from io.Reader, yield func(block []byte) error) error {
	r := bufio.NewReaderSize(from, 64<<10)
	var block []byte
	for {
		part, err := r.ReadSlice('\n')
		if len(block)+len(part) > maxBlock {
			if err := yield(block); err != nil {
				return err
			}
			block = block[:0]
		}
		block = append(block, part...)
		end := errors.Is(err, io.EOF)
		if err != nil && !end && !errors.Is(err, bufio.ErrBufferFull) {
			return err
		}
		if full := len(block) >= blockBytes && err == nil; full || end && len(block) > 0 {
			if err := yield(block); err != nil {
				return err
			}
			block = block[:0]
		}
		if end {
			return nil
		}
	}
}
