package image

import (
	"bytes"
	"context"
	"fmt"
	"sync"

	"golang.org/x/sys/unix"
)

// Bounds of the data that is between the parser and the writers.
const (
	batchBytes = 256 << 10 // small files travel together
	batchFiles = 32        // open files in one batch
	batches    = 12
	holeBlock  = 4 << 10 // zeros of a sparse file are looked for in blocks of this
)

// outFile is a regular file that was created and is still open. It belongs to
// its inode, not to its name: what the archive does to names meanwhile does
// not concern it.
type outFile struct {
	fd     int
	name   string // for messages
	size   int64
	sparse bool
	attrs  attrs
	have   state
}

// piece is a part of a file's content, or all of it.
type piece struct {
	file *outFile
	data []byte
	off  int64
	last bool // then the attributes are set and the file is closed
}

// batch is the unit that is handed to a writer: a buffer and the pieces in it.
type batch struct {
	buf    []byte
	pieces []piece
}

// writers write file contents in parallel. Pieces of one big file all go to the
// same writer, in order: an inode can be written by one at a time anyway.
type writers struct {
	free   chan *batch
	whole  chan *batch // batches of whole small files, for any writer
	stream chan *batch // pieces of big files, for the one that does these
	wait   sync.WaitGroup
	ctx    context.Context
	fail   context.CancelCauseFunc
}

// startWriters starts n writers for small files and one for big ones. The first
// error is reported to fail.
func startWriters(ctx context.Context, fail context.CancelCauseFunc, n int) *writers {
	w := &writers{
		// One place more than batches: abandon may need one beyond these.
		free:   make(chan *batch, batches+1),
		whole:  make(chan *batch, batches+1),
		stream: make(chan *batch, batches+1),
		ctx:    ctx,
		fail:   fail,
	}
	for range batches {
		w.free <- &batch{buf: make([]byte, 0, batchBytes), pieces: make([]piece, 0, batchFiles)}
	}
	for range n {
		w.wait.Go(func() { w.run(w.whole) })
	}
	w.wait.Go(func() { w.run(w.stream) })
	return w
}

// take waits for an empty batch.
func (w *writers) take() (*batch, error) {
	select {
	case b := <-w.free:
		return b, nil
	case <-w.ctx.Done():
		return nil, context.Cause(w.ctx)
	}
}

// finish waits until everything that was handed over is written, or dropped after a failure.
func (w *writers) finish() {
	close(w.whole)
	close(w.stream)
	w.wait.Wait()
}

func (w *writers) run(in <-chan *batch) {
	for b := range in {
		for i := range b.pieces {
			p := &b.pieces[i]
			if w.ctx.Err() == nil {
				if err := p.write(); err != nil {
					w.fail(fmt.Errorf("extract %s: %w", p.file.name, err))
				}
			}
			if p.last {
				unix.Close(p.file.fd)
			}
			*p = piece{}
		}
		b.buf, b.pieces = b.buf[:0], b.pieces[:0]
		w.free <- b // never waits: as many places as batches
	}
}

func (p *piece) write() error {
	f := p.file
	if err := f.writeData(p.data, p.off); err != nil {
		return err
	}
	if !p.last {
		return nil
	}
	if f.sparse {
		// The last hole is in no block that was written.
		if err := unix.Ftruncate(f.fd, f.size); err != nil {
			return fmt.Errorf("set size %d: %w", f.size, err)
		}
	}
	return f.attrs.applyFd(f.fd, f.have)
}

func (f *outFile) writeData(data []byte, off int64) error {
	if !f.sparse {
		return pwriteAll(f.fd, data, off)
	}
	for run := range dataRuns(data, holeBlock) {
		if err := pwriteAll(f.fd, data[run.from:run.to], off+int64(run.from)); err != nil {
			return err
		}
	}
	return nil
}

func pwriteAll(fd int, data []byte, off int64) error {
	for len(data) > 0 {
		n, err := unix.Pwrite(fd, data, off)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return fmt.Errorf("write at byte %d: %w", off, err)
		}
		data, off = data[n:], off+int64(n)
	}
	return nil
}

// span is a range of bytes.
type span struct{ from, to int }

// dataRuns yields the longest ranges of data, in whole blocks, that are not zeros.
func dataRuns(data []byte, block int) func(yield func(span) bool) {
	return func(yield func(span) bool) {
		from := -1
		for at := 0; at < len(data); at += block {
			end := min(at+block, len(data))
			if isZero(data[at:end]) {
				if from >= 0 && !yield(span{from, at}) {
					return
				}
				from = -1
			} else if from < 0 {
				from = at
			}
		}
		if from >= 0 {
			yield(span{from, len(data)})
		}
	}
}

var zeros [64 << 10]byte

func isZero(p []byte) bool {
	for len(p) > len(zeros) {
		if !bytes.Equal(p[:len(zeros)], zeros[:]) {
			return false
		}
		p = p[len(zeros):]
	}
	return bytes.Equal(p, zeros[:len(p)])
}
