// Package window holds the last part of a stream that is being relayed: one
// writer appends bytes as they arrive, any number of readers follow, each at its
// own place. Its memory is bounded: the writer waits when the slowest reader has
// fallen behind by the limit. What every reader has passed is kept for a while, so
// that a new reader can go back a little. It never does I/O and checks no content.
package window

import (
	"context"
	"fmt"
	"math"
	"sync"
)

// MinSlots is the least number of chunks that a window holds.
const MinSlots = 4

// Window is a sliding part of a stream, whose size may become known later, in slots of one
// chunk. Places in the
// stream count plain bytes from chunk to chunk, and the bytes that arrive within a chunk: that
// which has arrived with fewer bytes than its plain form has ends where the next one begins.
//
// Its methods may be called from any goroutine, but there is one writer.
type Window struct {
	size      int64 // Unknown, until it is set
	chunkSize int64
	limit     int // slots at most
	keep      int // slots kept behind the slowest reader

	mu      sync.Mutex
	slots   []*slot  // consecutive chunks; the last one may be incomplete
	free    [][]byte // buffers to use again, the hottest last
	end     int64    // bytes before it have arrived
	readers map[*Reader]struct{}
	full    bool          // the writer waits for room
	room    chan struct{} // wakes the writer
	closed  chan struct{}
	err     error // why it is closed
}

// Form is how one chunk travels: as its header says.
type Form struct {
	Length int // bytes on the wire: at most those of the chunk, and exactly those unless it is Packed
	CRC    uint32
	Packed bool // compressed
}

// slot is one chunk, or the part of it that has arrived.
type slot struct {
	index int64
	form  Form
	buf   []byte // of form.Length bytes
	n     int    // bytes that have arrived
}

// Unknown is the size of a stream whose end is not known yet.
const Unknown = math.MaxInt64

// New makes a window of at most limit bytes (but at least MinSlots chunks) over a
// stream of size bytes that begins at byte start, a chunk's first or the end.
func New(size int64, chunkSize int, start, limit int64) *Window {
	slots := int(max(MinSlots, min(limit/int64(chunkSize), math.MaxInt32)))
	return &Window{
		size: size, chunkSize: int64(chunkSize), limit: slots, keep: max(1, slots/4), end: start,
		readers: map[*Reader]struct{}{}, room: make(chan struct{}, 1), closed: make(chan struct{}),
	}
}

// End is the number of bytes that have arrived.
func (w *Window) End() int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.end
}

// Size is the size of the stream, or Unknown.
func (w *Window) Size() int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.size
}

// SetSize says where the stream ends, once. It tells whether that can be: no byte after
// it has arrived, and the chunk that it cuts off has not begun.
func (w *Window) SetSize(size int64) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	whole := size - size%w.chunkSize
	if w.size != Unknown || size < w.end || w.end > whole || w.end == whole && size > whole && w.begun() {
		return false
	}
	w.size = size
	for r := range w.readers {
		if r.waiting { // may need less now, or nothing
			r.waiting = false
			r.ready <- struct{}{}
		}
	}
	return true
}

// Oldest is the first byte that a new reader can get.
func (w *Window) Oldest() int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.oldest()
}

func (w *Window) oldest() int64 {
	if len(w.slots) == 0 {
		return w.end
	}
	return w.slots[0].index * w.chunkSize
}

// Full tells whether the writer waits for room.
func (w *Window) Full() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.full
}

// Close makes every call that waits return err, now and later.
func (w *Window) Close(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err == nil {
		w.err = err
		close(w.closed)
	}
}

// Chunk is the number and the length of the chunk that the next byte belongs to.
func (w *Window) Chunk() (index int64, length int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	index = w.end / w.chunkSize
	return index, w.chunkLen(index)
}

// Length is the length of chunk number index, in plain bytes.
func (w *Window) Length(index int64) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.chunkLen(index)
}

func (w *Window) chunkLen(index int64) int {
	return int(min(w.chunkSize, w.size-index*w.chunkSize))
}

// Begin makes room for the chunk that the next byte belongs to, and waits for it if
// it must. In the midst of a chunk the form must be the one with which it was begun; its
// CRC does not count any more.
func (w *Window) Begin(ctx context.Context, form Form) error {
	for {
		w.mu.Lock()
		if w.err != nil {
			defer w.mu.Unlock()
			return w.err
		}
		if w.end == w.size {
			w.mu.Unlock()
			return nil
		}
		if w.begun() {
			defer w.mu.Unlock()
			if f := w.slots[len(w.slots)-1].form; f.Length != form.Length || f.Packed != form.Packed {
				return fmt.Errorf("the rest of chunk %d comes in another form: %d bytes after %d", w.end/w.chunkSize, form.Length, f.Length)
			}
			return nil
		}
		if len(w.slots) == w.limit {
			w.evict()
		}
		if len(w.slots) < w.limit {
			index := w.end / w.chunkSize
			w.slots = append(w.slots, &slot{index: index, form: form, buf: w.buffer(form.Length)})
			w.full = false
			w.mu.Unlock()
			return nil
		}
		w.full = true
		w.mu.Unlock()
		var err error
		select {
		case <-w.room:
		case <-w.closed:
		case <-ctx.Done():
			err = context.Cause(ctx)
		}
		w.mu.Lock()
		w.full = false
		w.mu.Unlock()
		if err != nil {
			return err
		}
	}
}

// begun tells whether the chunk at end has a slot.
func (w *Window) begun() bool {
	return len(w.slots) > 0 && w.slots[len(w.slots)-1].index == w.end/w.chunkSize
}

// buffer is a buffer of n bytes, used before if there is one.
func (w *Window) buffer(n int) []byte {
	if last := len(w.free) - 1; last >= 0 {
		b := w.free[last]
		w.free = w.free[:last]
		return b[:n]
	}
	return make([]byte, n, min(w.chunkSize, w.size))
}

// Space is where the next bytes go: the rest of the chunk that was begun.
func (w *Window) Space() []byte {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.slots[len(w.slots)-1]
	return s.buf[s.n:]
}

// Advance says that n bytes were put into Space.
func (w *Window) Advance(n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.slots[len(w.slots)-1]
	if n < 0 || n > len(s.buf)-s.n {
		panic(fmt.Sprintf("window: advance by %d bytes of %d", n, len(s.buf)-s.n))
	}
	s.n += n
	w.end = w.after(s, s.n)
	for r := range w.readers {
		if r.waiting && w.end >= r.need {
			r.waiting = false
			r.ready <- struct{}{}
		}
	}
}

// after is the place in the stream after n bytes of s.
func (w *Window) after(s *slot, n int) int64 {
	if n == len(s.buf) {
		return min(w.size, (s.index+1)*w.chunkSize)
	}
	return s.index*w.chunkSize + int64(n)
}

// evict gives up the slots that every reader has passed, but for the last w.keep. As keep
// is less than limit, a reader that goes on always makes room in the end.
func (w *Window) evict() {
	least := w.end
	for r := range w.readers {
		least = min(least, r.at)
	}
	passed := 0
	for _, s := range w.slots {
		if w.after(s, len(s.buf)) > least || s.n < len(s.buf) {
			break
		}
		passed++
	}
	drop := passed - w.keep
	if drop <= 0 {
		return
	}
	for _, s := range w.slots[:drop] {
		w.free = append(w.free, s.buf)
	}
	w.slots = append(w.slots[:0], w.slots[drop:]...)
	if w.full {
		select {
		case w.room <- struct{}{}:
		default:
		}
	}
}
