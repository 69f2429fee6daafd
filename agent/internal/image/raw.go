package image

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"kadeploy/agent/internal/fault"
)

// zeroRun is the smallest run of zeros that is worth a call of its own.
const zeroRun = 64 << 10

// RawOptions says what is written, and where.
type RawOptions struct {
	Device      string // block device, or an existing file
	Compression string
}

// NewRawSink returns a sink that writes a disk image onto a device. Runs of
// zeros are not written: the device is told to read as zeros there, which
// leaves nothing of what was on it before.
func NewRawSink(ctx context.Context, opts RawOptions) (*Sink, error) {
	// O_EXCL: a device that is mounted or part of something is refused.
	f, err := os.OpenFile(opts.Device, os.O_WRONLY|unix.O_EXCL, 0)
	switch {
	case errors.Is(err, unix.EBUSY):
		return nil, fault.Preconditionf("write image: %w: it is mounted or in use", err)
	case errors.Is(err, os.ErrNotExist):
		return nil, fault.Preconditionf("write image: %w", err)
	case err != nil:
		return nil, fmt.Errorf("write image: %w", err)
	}
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("write image: size of %s: %w", opts.Device, err)
	}
	return start(ctx, "write image to "+opts.Device, &rawConsumer{opts: opts, file: f, size: size}), nil
}

type rawConsumer struct {
	opts RawOptions
	file *os.File
	size int64 // of the device
	hole hole  // zeros that were met and are not written yet
}

// hole is a range of the device.
type hole struct{ from, to int64 }

func (c *rawConsumer) consume(ctx context.Context, r io.Reader, count func(bytes, entries int64)) error {
	dec, err := decompress(r, c.opts.Compression)
	if err == nil {
		ahead := newReadAhead(dec)
		defer ahead.close()
		err = c.copy(ctx, ahead, count)
	}
	if err != nil {
		return fmt.Errorf("write image to %s: %w", c.opts.Device, err)
	}
	return nil
}

func (c *rawConsumer) copy(ctx context.Context, in *readAhead, count func(bytes, entries int64)) error {
	for off := int64(0); ; {
		data, err := in.next()
		if err == io.EOF {
			return c.punch()
		}
		if err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		if off+int64(len(data)) > c.size {
			return fault.Preconditionf("the image is larger than the device's %d bytes: choose a larger partition", c.size)
		}
		if err := c.write(data, off); err != nil {
			return err
		}
		off += int64(len(data))
		count(int64(len(data)), 0)
	}
}

// write puts data at off. Its runs of zeros are gathered, over the limits of
// buffers, until something else is written.
func (c *rawConsumer) write(data []byte, off int64) error {
	end := off + int64(len(data))
	for run := range dataRuns(data, zeroRun) {
		c.hole.to = off + int64(run.from)
		if err := c.punch(); err != nil {
			return err
		}
		if err := pwriteAll(int(c.file.Fd()), data[run.from:run.to], c.hole.to); err != nil {
			return err
		}
		c.hole.from = off + int64(run.to)
	}
	c.hole.to = end
	return nil
}

// punch makes the hole read as zeros: by deallocating it where the device can,
// else by having the kernel write them.
func (c *rawConsumer) punch() error {
	n := c.hole.to - c.hole.from
	if n == 0 {
		return nil
	}
	for _, mode := range []uint32{unix.FALLOC_FL_PUNCH_HOLE, unix.FALLOC_FL_ZERO_RANGE} {
		if unix.Fallocate(int(c.file.Fd()), mode|unix.FALLOC_FL_KEEP_SIZE, c.hole.from, n) == nil {
			return nil
		}
	}
	// Not aligned to the device's blocks, or an old file system.
	for off := c.hole.from; off < c.hole.to; {
		m := min(c.hole.to-off, int64(len(zeros)))
		if err := pwriteAll(int(c.file.Fd()), zeros[:m], off); err != nil {
			return err
		}
		off += m
	}
	return nil
}

func (c *rawConsumer) finish() error {
	err := c.file.Sync()
	if cerr := c.file.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return fmt.Errorf("flush image to %s: %w", c.opts.Device, err)
	}
	return nil
}

func (c *rawConsumer) discard() error {
	if err := c.file.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
		return err
	}
	return nil
}
