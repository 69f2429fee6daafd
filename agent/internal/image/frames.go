package image

import (
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"

	"kadeploy/proto/image/frames"
)

// frameMemory bounds the frames that are in memory at once, decoded and not,
// whatever their size and however many processors there are.
const frameMemory = 48 << 20

// frameReader decodes an image in frames (proto/image/frames) on all processors.
// One goroutine reads frames, several decode them, and next hands them out in order.
type frameReader struct {
	free  chan *frame
	work  chan *frame
	order chan *frame
	stop  chan struct{}
	once  sync.Once

	current *frame // handed out by next
	err     error  // what next goes on to say
}

// frame is one frame on its way.
type frame struct {
	number int
	entry  frames.Entry
	stored []byte // as it came
	buf    []byte // of the largest frame's size
	plain  []byte // decoded, in buf
	err    error
	done   chan struct{} // gets one value when plain or err is set
}

// newFrameReader reads the index and starts decoding what follows it.
func newFrameReader(r io.Reader) (*frameReader, error) {
	index, err := frames.ReadIndex(r)
	if err != nil {
		return nil, err
	}
	workers := max(runtime.GOMAXPROCS(0), 2)
	// A slot holds a frame twice at most, decoded and not.
	slots := min(workers+2, max(frameMemory/(2*int(index.FrameSize)), 2), len(index.Frames)+1)
	f := &frameReader{
		free: make(chan *frame, slots), work: make(chan *frame, slots), order: make(chan *frame, slots+1),
		stop: make(chan struct{}),
	}
	for range slots {
		f.free <- &frame{done: make(chan struct{}, 1)}
	}
	for range min(workers, slots) {
		d, err := frames.NewDecoder()
		if err != nil {
			return nil, err
		}
		go f.decode(d, int(index.FrameSize))
	}
	go f.fill(r, index)
	return f, nil
}

// fill reads frame after frame. The channels have places for all slots: only
// waiting for a free slot, and reading, take time.
func (f *frameReader) fill(r io.Reader, index *frames.Index) {
	defer close(f.order)
	defer close(f.work)
	fail := func(err error) { f.order <- &frame{err: err} }
	for i, e := range index.Frames {
		var s *frame
		select {
		case s = <-f.free:
		case <-f.stop:
			fail(io.ErrClosedPipe)
			return
		}
		s.number, s.entry, s.err = i, e, nil
		if cap(s.stored) < int(e.Compressed) {
			s.stored = make([]byte, 0, e.Compressed)
		}
		s.stored = s.stored[:e.Compressed]
		if _, err := io.ReadFull(r, s.stored); err != nil {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			fail(err)
			return
		}
		f.work <- s
		f.order <- s
	}
	var one [1]byte
	switch n, err := io.ReadFull(r, one[:]); {
	case n > 0:
		fail(fmt.Errorf("%w: bytes after the last frame", frames.ErrCorrupt))
	case !errors.Is(err, io.EOF):
		fail(err)
	}
}

func (f *frameReader) decode(d *frames.Decoder, size int) {
	defer d.Close()
	for s := range f.work {
		if s.buf == nil {
			s.buf = alignedBuffer(size) // it may be written as it is
		}
		s.plain, s.err = d.Decode(s.buf, s.stored, s.entry)
		if s.err != nil {
			s.err = fmt.Errorf("frame %d: %w", s.number, s.err)
		}
		s.done <- struct{}{}
	}
}

// next returns the next frame's bytes, valid until the next call.
func (f *frameReader) next() ([]byte, error) {
	if f.current != nil {
		f.release(f.current)
		f.current = nil
	}
	s, err := f.take()
	if err != nil {
		return nil, err
	}
	f.current = s
	return s.plain, nil
}

// take returns the next frame; whoever has taken it releases it.
func (f *frameReader) take() (*frame, error) {
	if f.err != nil {
		return nil, f.err
	}
	s, ok := <-f.order
	if !ok {
		f.err = io.EOF
		return nil, f.err
	}
	if s.done != nil {
		<-s.done
	}
	if f.err = s.err; f.err != nil {
		return nil, f.err
	}
	return s, nil
}

// release gives the memory of a frame back; any goroutine may.
func (f *frameReader) release(s *frame) { f.free <- s }

// close ends the goroutines, as soon as what they read from answers or is closed too.
func (f *frameReader) close() { f.once.Do(func() { close(f.stop) }) }
