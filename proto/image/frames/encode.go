package frames

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"

	"github.com/klauspost/compress/zstd"
	"golang.org/x/sync/errgroup"
)

// DefaultFrameSize is what decodes fastest: a frame's bytes are in the processor's
// cache still when they are written.
const DefaultFrameSize = 2 << 20

// Options of Encode; the zero value is good.
type Options struct {
	FrameSize int               // bytes; 0: DefaultFrameSize
	Workers   int               // frames encoded at once; 0: as many as processors
	Level     zstd.EncoderLevel // 0: zstd.SpeedDefault
}

// slot is a frame on its way through the encoder.
type slot struct {
	plain []byte
	coded []byte
	done  chan struct{} // gets one value when coded is filled
}

// Encode cuts what it reads into frames and writes them, without the index,
// which it returns. It holds twice as many frames as it encodes at once.
func Encode(ctx context.Context, w io.Writer, r io.Reader, o Options) (*Index, error) {
	size := cmp.Or(o.FrameSize, DefaultFrameSize)
	if size < 1 || size > MaxFrameSize {
		return nil, fmt.Errorf("encode frames: frame size %d is not from 1 to %d", size, MaxFrameSize)
	}
	workers := cmp.Or(o.Workers, runtime.GOMAXPROCS(0))
	x := &Index{FrameSize: uint32(size)}
	free := make(chan *slot, 2*workers)
	for range cap(free) {
		free <- &slot{plain: make([]byte, 0, size), done: make(chan struct{}, 1)}
	}
	work, order := make(chan *slot, cap(free)), make(chan *slot, cap(free)) // sends never wait
	all, ctx := errgroup.WithContext(ctx)
	all.Go(func() error {
		defer close(work)
		defer close(order)
		return read(ctx, r, free, work, order)
	})
	for range workers {
		all.Go(func() error { return encode(work, cmp.Or(o.Level, zstd.SpeedDefault)) })
	}
	all.Go(func() error { return write(ctx, w, x, free, order) })
	if err := all.Wait(); err != nil {
		return nil, fmt.Errorf("encode frames: %w", err)
	}
	if len(x.Frames) == 0 {
		return nil, errors.New("encode frames: there is nothing to encode")
	}
	return x, nil
}

// read fills slots and hands each to who encodes and to who writes.
func read(ctx context.Context, r io.Reader, free <-chan *slot, work, order chan<- *slot) error {
	for n := 0; ; n++ {
		var s *slot
		select {
		case s = <-free:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		err := fill(s, r)
		if err != nil && err != io.EOF {
			return err
		}
		if len(s.plain) > 0 {
			if n == maxFrames {
				return fmt.Errorf("the image needs more than %d frames", maxFrames)
			}
			work <- s
			order <- s
		}
		if err == io.EOF {
			return nil
		}
	}
}

// fill reads one frame's bytes. It is not io.ReadFull: a source that ends too
// early, and says so, must not pass for one that has ended.
func fill(s *slot, r io.Reader) (err error) {
	s.plain = s.plain[:0]
	for err == nil && len(s.plain) < cap(s.plain) {
		var n int
		n, err = r.Read(s.plain[len(s.plain):cap(s.plain)])
		s.plain = s.plain[:len(s.plain)+n]
	}
	return err
}

func encode(work <-chan *slot, level zstd.EncoderLevel) error {
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(true),
		zstd.WithSingleSegment(true), zstd.WithEncoderLevel(level))
	if err != nil {
		return err
	}
	defer enc.Close()
	for s := range work {
		s.coded = enc.EncodeAll(s.plain, s.coded[:0])
		s.done <- struct{}{}
	}
	return nil
}

func write(ctx context.Context, w io.Writer, x *Index, free chan<- *slot, order <-chan *slot) error {
	for s := range order {
		select {
		case <-s.done:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		if _, err := w.Write(s.coded); err != nil {
			return err
		}
		x.Frames = append(x.Frames, Entry{Compressed: uint32(len(s.coded)), Size: uint32(len(s.plain))})
		free <- s
	}
	return nil
}
