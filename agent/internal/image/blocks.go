package image

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"kadeploy/agent/internal/fault"
	fsblocks "kadeploy/proto/image/blocks"
	"kadeploy/proto/image/frames"
)

// blockWriters write frames beside their decoding.
const blockWriters = 3

// BlocksOptions says where the blocks of a file system go, and what is done
// around that. Each function may be nil.
type BlocksOptions struct {
	Device string
	Begin  func(ctx context.Context, size int64) error // before anything is written; the file system has size bytes
	Finish func(ctx context.Context) error             // after everything was written and flushed
	Undo   func() error                                // after a failure, if Begin was called and whatever it returned
}

// NewBlocksSink returns a sink that writes the blocks of a file system
// (proto/image/blocks, in frames) onto a device, while they arrive.
func NewBlocksSink(ctx context.Context, opts BlocksOptions) *Sink {
	return start(ctx, "write blocks to "+opts.Device, &blocksConsumer{opts: opts, ctx: ctx})
}

type blocksConsumer struct {
	opts  BlocksOptions
	ctx   context.Context
	dev   *rawDevice
	begun bool
}

func (c *blocksConsumer) consume(ctx context.Context, r io.Reader, count func(bytes, entries int64)) error {
	in, err := newFrameReader(r)
	if err == nil {
		defer in.close()
		err = c.write(ctx, in, count)
	}
	if err != nil {
		return fmt.Errorf("write blocks to %s: %w", c.opts.Device, err)
	}
	return nil
}

func (c *blocksConsumer) write(ctx context.Context, in *frameReader, count func(bytes, entries int64)) error {
	start := &frameStart{in: in}
	h, err := fsblocks.ReadHeader(start)
	if err != nil {
		return err
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err := c.begin(ctx, h.Size()); err != nil {
		return err
	}
	for z := range h.Zeros() {
		if err := c.dev.zero(z.Offset, z.Size); err != nil {
			return err
		}
	}
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	w := &blockWriter{ctx: ctx, fail: fail, dev: c.dev, header: h, in: in, jobs: make(chan blockJob), count: count}
	for range blockWriters {
		w.wait.Go(w.run)
	}
	if err := w.feed(start); err != nil {
		fail(err)
	}
	close(w.jobs)
	w.wait.Wait()
	return context.Cause(ctx) // the first failure of all
}

// begin opens the device when the caller has made it free.
func (c *blocksConsumer) begin(ctx context.Context, size int64) (err error) {
	if c.opts.Begin != nil {
		c.begun = true
		if err := c.opts.Begin(ctx, size); err != nil {
			return err
		}
	}
	if c.dev, err = openRawDevice(c.opts.Device); err != nil {
		return err
	}
	if size > c.dev.size {
		return tooSmall(size, c.dev.size)
	}
	return nil
}

func tooSmall(size, device int64) error {
	return fault.Preconditionf("the file system of the image has %d bytes, the device only %d: choose a larger partition, or deploy with --no-prepare", size, device)
}

func (c *blocksConsumer) finish() error {
	err := c.dev.file.Sync()
	if cerr := c.dev.close(); err == nil {
		err = cerr
	}
	if err != nil {
		return fmt.Errorf("flush blocks to %s: %w", c.opts.Device, err)
	}
	if c.opts.Finish != nil {
		return c.opts.Finish(c.ctx)
	}
	return nil
}

func (c *blocksConsumer) discard() error {
	var errs []error
	if c.dev != nil {
		if err := c.dev.close(); err != nil && !errors.Is(err, os.ErrClosed) {
			errs = append(errs, err)
		}
	}
	if c.begun && c.opts.Undo != nil {
		c.begun = false
		errs = append(errs, c.opts.Undo())
	}
	return errors.Join(errs...)
}

// frameStart reads the frames that hold the header, and keeps what is left of
// the last one.
type frameStart struct {
	in   *frameReader
	last *frame
	rest []byte // of last
}

func (s *frameStart) Read(p []byte) (int, error) {
	for len(s.rest) == 0 {
		if s.last != nil {
			s.in.release(s.last)
			s.last = nil
		}
		f, err := s.in.take()
		if err != nil {
			return 0, err
		}
		s.last, s.rest = f, f.plain
	}
	n := copy(p, s.rest)
	s.rest = s.rest[n:]
	return n, nil
}

// blockJob is what one frame has of the data.
type blockJob struct {
	frame *frame
	data  []byte
	off   int64 // in the data
}

// blockWriter hands frames to goroutines that write them where they belong, from
// where they were decoded to.
type blockWriter struct {
	ctx    context.Context
	fail   context.CancelCauseFunc
	dev    *rawDevice
	header *fsblocks.Header
	in     *frameReader
	jobs   chan blockJob
	wait   sync.WaitGroup
	count  func(bytes, entries int64)
}

// feed goes through all frames, to the end of the stream, which must be that of the data.
func (w *blockWriter) feed(start *frameStart) error {
	off := int64(0)
	f, data := start.last, start.rest
	for {
		if off+int64(len(data)) > w.header.DataSize() {
			return fmt.Errorf("%w: more data than its extents have", fsblocks.ErrCorrupt)
		}
		if f != nil {
			select {
			case w.jobs <- blockJob{f, data, off}:
			case <-w.ctx.Done():
				return context.Cause(w.ctx)
			}
		}
		off += int64(len(data))
		var err error
		if f, err = w.in.take(); err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		data = f.plain
	}
	if off != w.header.DataSize() {
		return fmt.Errorf("%w: %d bytes of data, not %d", frames.ErrCorrupt, off, w.header.DataSize())
	}
	return nil
}

func (w *blockWriter) run() {
	for job := range w.jobs {
		if w.ctx.Err() == nil {
			if err := w.write(job); err != nil {
				w.fail(err)
			}
		}
		w.in.release(job.frame)
	}
}

func (w *blockWriter) write(job blockJob) error {
	data := job.data
	for p := range w.header.Places(job.off, int64(len(data))) {
		if err := w.dev.write(data[:p.Size], p.Offset); err != nil {
			return err
		}
		data = data[p.Size:]
	}
	w.count(int64(len(job.data)), 0)
	return nil
}
