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

// RawOptions says what is written, and where.
type RawOptions struct {
	Device      string // block device, or an existing file
	Compression string
	Size        int64 // bytes of the image as it is sent; 0: not known
}

// NewRawSink returns a sink that writes a disk image onto a device. Runs of
// zeros are not written: the device is told to read as zeros there, which
// leaves nothing of what was on it before (see rawDevice.zero).
func NewRawSink(ctx context.Context, opts RawOptions) (*Sink, error) {
	dev, err := openRawDevice(opts.Device)
	if err != nil {
		return nil, fmt.Errorf("write image: %w", err)
	}
	if opts.Compression == None && opts.Size > dev.size {
		dev.close()
		return nil, fmt.Errorf("write image to %s: %w", opts.Device, tooLarge(fmt.Sprint(opts.Size), dev.size))
	}
	return start(ctx, "write image to "+opts.Device, &rawConsumer{opts: opts, dev: dev}), nil
}

func tooLarge(image string, device int64) error {
	return fault.Preconditionf("the image has %s bytes, the device only %d: choose a larger partition or disk", image, device)
}

type rawConsumer struct {
	opts RawOptions
	dev  *rawDevice
}

func (c *rawConsumer) consume(ctx context.Context, r io.Reader, count func(bytes, entries int64)) error {
	dec, err := decompress(r, c.opts.Compression)
	if err == nil {
		defer dec.Close()
		err = c.copy(ctx, dec, count)
	}
	if err != nil {
		return fmt.Errorf("write image to %s: %w", c.opts.Device, err)
	}
	return nil
}

// copy decodes in this goroutine, straight into the buffers that are written by
// others meanwhile.
func (c *rawConsumer) copy(ctx context.Context, in io.Reader, count func(bytes, entries int64)) error {
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	w := startRawWriters(ctx, fail, c.dev)
	err := c.feed(ctx, in, w, count)
	if err != nil {
		fail(err)
	}
	w.finish()
	if cause := context.Cause(ctx); cause != nil {
		return cause // the first failure of all
	}
	return nil
}

func (c *rawConsumer) feed(ctx context.Context, in io.Reader, w *rawWriters, count func(bytes, entries int64)) error {
	for off := int64(0); ; {
		buf, err := w.take()
		if err != nil {
			return err
		}
		n, err := io.ReadFull(in, buf)
		if n > 0 && off == 0 {
			if err := expectKind("dd", buf[:n]); err != nil {
				return err
			}
		}
		if off+int64(n) > c.dev.size {
			return tooLarge(fmt.Sprintf("at least %d", off+int64(n)), c.dev.size)
		}
		w.put(buf, n, off)
		off += int64(n)
		count(int64(n), 0)
		switch {
		case err == io.EOF || err == io.ErrUnexpectedEOF: // the decoder's own are wrapped
			return nil
		case err != nil:
			return err
		case ctx.Err() != nil:
			return context.Cause(ctx)
		}
	}
}

func (c *rawConsumer) finish() error {
	err := c.dev.file.Sync()
	if cerr := c.dev.close(); err == nil {
		err = cerr
	}
	if err != nil {
		return fmt.Errorf("flush image to %s: %w", c.opts.Device, err)
	}
	return nil
}

func (c *rawConsumer) discard() error {
	if err := c.dev.close(); err != nil && !errors.Is(err, os.ErrClosed) {
		return err
	}
	return nil
}

// rawDevice is what an image is written onto.
type rawDevice struct {
	file   *os.File // through the page cache
	direct *os.File // around it; nil where that cannot be
	size   int64    // bytes
}

func openRawDevice(path string) (*rawDevice, error) {
	// O_EXCL: a device that is mounted or part of something is refused.
	f, err := os.OpenFile(path, os.O_RDWR|unix.O_EXCL, 0)
	switch {
	case errors.Is(err, unix.EBUSY):
		return nil, fault.Preconditionf("%w: it is mounted or in use", err)
	case errors.Is(err, os.ErrNotExist):
		return nil, fault.Preconditionf("%w", err)
	case err != nil:
		return nil, err
	}
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("size of %s: %w", path, err)
	}
	d := &rawDevice{file: f, size: size}
	if direct, err := os.OpenFile(path, os.O_WRONLY|unix.O_DIRECT, 0); err == nil {
		d.direct = direct
	}
	return d, nil
}

func (d *rawDevice) close() error {
	if d.direct != nil {
		d.direct.Close()
	}
	return d.file.Close()
}
