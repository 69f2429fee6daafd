package window

import (
	"context"
	"io"
)

// Reader is one place in the stream. It holds what it has not passed. It belongs to
// one goroutine.
type Reader struct {
	w       *Window
	at      int64 // next byte
	need    int64 // waits for this many bytes of the stream
	waiting bool
	ready   chan struct{}
}

// Piece is some bytes of one chunk. It is valid until the reader advances.
type Piece struct {
	Chunk  int64
	Form   Form // of the whole chunk
	Offset int  // of Data in what the form counts
	Short  bool // the chunk is the stream's last, and is not full
	Data   []byte
}

// NewReader makes a reader at byte from, or at the oldest byte if that is later.
func (w *Window) NewReader(from int64) *Reader {
	w.mu.Lock()
	defer w.mu.Unlock()
	r := &Reader{w: w, at: max(from, w.oldest()), ready: make(chan struct{}, 1)}
	w.readers[r] = struct{}{}
	return r
}

// At is the offset of the reader's next byte.
func (r *Reader) At() int64 { return r.at }

// Close gives up what the reader holds.
func (r *Reader) Close() {
	r.w.mu.Lock()
	defer r.w.mu.Unlock()
	delete(r.w.readers, r)
	r.w.evict()
}

// Next waits for bytes and returns those of the current chunk that are there; io.EOF
// after the last byte of the stream.
func (r *Reader) Next(ctx context.Context) (Piece, error) {
	return r.wait(ctx, false)
}

// NextChunk waits until the current chunk is complete.
func (r *Reader) NextChunk(ctx context.Context) (Piece, error) {
	return r.wait(ctx, true)
}

// needed is the end of what the reader waits for: a byte, or a whole chunk.
func (r *Reader) needed(chunk bool) int64 {
	if chunk {
		return min(r.w.size, (r.at/r.w.chunkSize+1)*r.w.chunkSize)
	}
	return r.at + 1
}

func (r *Reader) wait(ctx context.Context, chunk bool) (Piece, error) {
	w := r.w
	w.mu.Lock()
	for w.err == nil && r.at < w.size && w.end < r.needed(chunk) {
		r.need, r.waiting = r.needed(chunk), true
		w.mu.Unlock()
		var err error
		select {
		case <-r.ready:
		case <-w.closed:
		case <-ctx.Done():
			err = context.Cause(ctx)
		}
		w.mu.Lock()
		if r.waiting {
			r.waiting = false
		} else if err != nil {
			select { // woken and cancelled at once: leave no stale wake-up
			case <-r.ready:
			default:
			}
		}
		if err != nil {
			w.mu.Unlock()
			return Piece{}, err
		}
	}
	defer w.mu.Unlock()
	if r.at >= w.size {
		return Piece{}, io.EOF
	}
	if w.err != nil {
		return Piece{}, w.err
	}
	return r.piece(), nil
}

// Peek returns the bytes of the current chunk that are there, if any.
func (r *Reader) Peek() (Piece, bool) {
	r.w.mu.Lock()
	defer r.w.mu.Unlock()
	if r.w.end <= r.at {
		return Piece{}, false
	}
	return r.piece(), true
}

// piece needs that something is there.
func (r *Reader) piece() Piece {
	w := r.w
	s := w.slots[r.at/w.chunkSize-w.slots[0].index]
	from := int(r.at - s.index*w.chunkSize)
	return Piece{Chunk: s.index, Form: s.form, Offset: from, Short: w.chunkLen(s.index) < int(w.chunkSize), Data: s.buf[from:s.n]}
}

// CaughtUp tells whether the reader has passed all that has arrived, and more may come.
func (r *Reader) CaughtUp() bool {
	r.w.mu.Lock()
	defer r.w.mu.Unlock()
	return r.at >= r.w.end && r.at < r.w.size
}

// Ended tells whether the reader has passed the whole stream.
func (r *Reader) Ended() bool {
	r.w.mu.Lock()
	defer r.w.mu.Unlock()
	return r.at >= r.w.size
}

// Advance passes n bytes of the current chunk, and returns the place after them.
func (r *Reader) Advance(n int) int64 {
	w := r.w
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.slots[r.at/w.chunkSize-w.slots[0].index]
	passed := int(r.at-s.index*w.chunkSize) + n
	r.at = w.after(s, passed)
	if passed == len(s.buf) {
		w.evict()
	}
	return r.at
}
