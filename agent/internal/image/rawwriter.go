package image

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Sizes of what is between the decoder and a device. Large direct writes keep
// the disk busy without filling the page cache, whose flush at the end would
// cost as much again.
const (
	rawChunk   = 1 << 20
	rawChunks  = 8
	rawWorkers = 2
	rawAlign   = 4 << 10  // of direct writes: the largest logical block of disks
	zeroRun    = 64 << 10 // the smallest run of zeros that is worth a call of its own
)

// rawJob is a piece of the image that is written, or a run of zeros.
type rawJob struct {
	buf []byte // whole buffer, to be given back; nil: zeros
	n   int64  // bytes
	off int64
}

// rawWriters write pieces of an image beside its decoding, in any order.
type rawWriters struct {
	ctx  context.Context
	fail context.CancelCauseFunc
	dev  *rawDevice
	free chan []byte
	jobs chan rawJob
	wait sync.WaitGroup

	from, to int64 // zeros that were met and are not handed over yet
}

func startRawWriters(ctx context.Context, fail context.CancelCauseFunc, dev *rawDevice) *rawWriters {
	w := &rawWriters{ctx: ctx, fail: fail, dev: dev, free: make(chan []byte, rawChunks), jobs: make(chan rawJob, 2*rawChunks)}
	for range rawChunks {
		w.free <- alignedBuffer(rawChunk)
	}
	for range rawWorkers {
		w.wait.Go(w.run)
	}
	return w
}

// alignedBuffer makes a buffer that direct writes accept.
func alignedBuffer(size int) []byte {
	b := make([]byte, size+rawAlign)
	skip := -int(uintptr(unsafe.Pointer(&b[0]))) & (rawAlign - 1)
	return b[skip : skip+size : skip+size]
}

// take waits for an empty buffer.
func (w *rawWriters) take() ([]byte, error) {
	select {
	case buf := <-w.free:
		return buf, nil
	case <-w.ctx.Done():
		return nil, context.Cause(w.ctx)
	}
}

// put hands over n bytes that belong at off. Zeros are gathered over the limits
// of buffers: one call for gigabytes of them.
func (w *rawWriters) put(buf []byte, n int, off int64) {
	if isZero(buf[:n]) {
		w.free <- buf
		if w.from == w.to {
			w.from = off
		}
		w.to = off + int64(n)
		return
	}
	w.zeros()
	w.jobs <- rawJob{buf: buf, n: int64(n), off: off}
}

func (w *rawWriters) zeros() {
	if w.from < w.to {
		w.jobs <- rawJob{n: w.to - w.from, off: w.from}
	}
	w.from = w.to
}

// finish waits until all is written, or dropped after a failure.
func (w *rawWriters) finish() {
	w.zeros()
	close(w.jobs)
	w.wait.Wait()
}

func (w *rawWriters) run() {
	for job := range w.jobs {
		if w.ctx.Err() == nil {
			if err := w.do(job); err != nil {
				w.fail(err)
			}
		}
		if job.buf != nil {
			w.free <- job.buf // never waits: as many places as buffers
		}
	}
}

func (w *rawWriters) do(job rawJob) error {
	if job.buf == nil {
		return w.dev.zero(job.off, job.n)
	}
	data := job.buf[:job.n]
	at := 0
	for run := range dataRuns(data, zeroRun) {
		if err := w.dev.zero(job.off+int64(at), int64(run.from-at)); err != nil {
			return err
		}
		if err := w.dev.write(data[run.from:run.to], job.off+int64(run.from)); err != nil {
			return err
		}
		at = run.to
	}
	return w.dev.zero(job.off+int64(at), int64(len(data)-at))
}

// write puts data at off, which is aligned to zeroRun as pieces of the image are.
func (d *rawDevice) write(data []byte, off int64) error {
	whole := len(data) &^ (rawAlign - 1)
	if d.direct == nil {
		whole = 0
	}
	if whole > 0 {
		err := pwriteAll(int(d.direct.Fd()), data[:whole], off)
		if errors.Is(err, unix.EINVAL) {
			whole, err = 0, nil // larger blocks than any that is known
		}
		if err != nil {
			return err
		}
	}
	return pwriteAll(int(d.file.Fd()), data[whole:], off+int64(whole))
}

// zero makes a range read as zeros. A disk that was discarded as a whole may
// read as anything, so that is not relied upon: punching a hole into a block
// device is its "write zeroes" command with leave to deallocate, which the kernel
// issues only where the device promises zeros; where it does not, zeroing a
// range has the kernel write them, as dd would have done. On the disks of virtual
// machines, NVMe and thin volumes nothing is transferred.
func (d *rawDevice) zero(off, n int64) error {
	if n == 0 {
		return nil
	}
	for _, mode := range [...]uint32{unix.FALLOC_FL_PUNCH_HOLE, unix.FALLOC_FL_ZERO_RANGE} {
		err := unix.Fallocate(int(d.file.Fd()), mode|unix.FALLOC_FL_KEEP_SIZE, off, n)
		switch err {
		case nil:
			return nil
		case unix.EIO, unix.ENOSPC, unix.EREMOTEIO, unix.EROFS:
			return fmt.Errorf("write zeros at byte %d: %w", off, err)
		}
	}
	// Not aligned to the device's blocks, or an old file system.
	for end := off + n; off < end; {
		m := min(end-off, int64(len(zeros)))
		if err := pwriteAll(int(d.file.Fd()), zeros[:m], off); err != nil {
			return err
		}
		off += m
	}
	return nil
}
