package kascade

import (
	"context"
	"sync"

	"kadeploy/kascade/internal/window"
	"kadeploy/kascade/internal/wire"
)

// readers knows which readers a node may expect, and holds their bytes until they come.
type readers struct {
	mu   sync.Mutex
	held map[uint32]*window.Reader // a place for each that is expected and has not come
	gen  map[uint32]uint32         // of the newest connection of each
}

// expect holds the bytes for a reader that the head announced, unless it is here already.
func (r *readers) expect(w *window.Window, m *wire.Expect) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if m.Gen <= r.gen[m.Reader] {
		return
	}
	r.hold(m.Reader, w.NewReader(int64(m.From)))
}

func (r *readers) hold(reader uint32, place *window.Reader) {
	r.release(reader)
	if r.held == nil {
		r.held = map[uint32]*window.Reader{}
	}
	r.held[reader] = place
}

// admit gives a reader that has come its place; nil if its order is not the newest.
func (r *readers) admit(w *window.Window, req wire.Request) *window.Reader {
	r.mu.Lock()
	defer r.mu.Unlock()
	if req.Gen <= r.gen[req.Reader] {
		return nil
	}
	if r.gen == nil {
		r.gen = map[uint32]uint32{}
	}
	r.gen[req.Reader] = req.Gen
	place := w.NewReader(int64(req.From))
	r.release(req.Reader)
	return place
}

// keep holds the bytes for a reader whose connection broke, until it comes again or is
// dropped: the head hears of it, and may announce it, only after the stream has gone on.
// ctx has ended if the reader was dropped.
func (r *readers) keep(ctx context.Context, w *window.Window, req wire.Request, at int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if ctx.Err() != nil || req.Gen != r.gen[req.Reader] {
		return
	}
	r.hold(req.Reader, w.NewReader(at))
}

// drop forgets a reader that will not come.
func (r *readers) drop(reader uint32) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.release(reader)
}

func (r *readers) release(reader uint32) {
	if held := r.held[reader]; held != nil {
		held.Close()
		delete(r.held, reader)
	}
}
