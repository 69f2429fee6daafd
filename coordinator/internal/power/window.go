package power

import (
	"context"
	"sync/atomic"
	"time"
)

// window bounds how many machines are rebooting or switching at once over the
// whole coordinator, so that a site's power supply and its boot servers stand
// it (contract 4.9). Whoever finds too few places free sleeps before he tries
// again; attempts are made in the order of arrival, so that a large request
// cannot be overtaken for ever.
type window struct {
	size  int
	sleep time.Duration
	turn  chan struct{} // held by the one who is trying
	free  chan int      // free places; always holds its one value, but for an instant

	waiting atomic.Int64 // places that are waited for
}

func newWindow(size int, sleep time.Duration) *window {
	w := &window{size: size, sleep: sleep, turn: make(chan struct{}, 1), free: make(chan int, 1)}
	w.free <- size
	return w
}

// enter waits for n places; more than the window has count as all of it.
// release gives them back. An error means that ctx has ended.
func (w *window) enter(ctx context.Context, n int) (release func(), err error) {
	n = min(n, w.size)
	w.waiting.Add(int64(n))
	defer w.waiting.Add(-int64(n))
	select {
	case w.turn <- struct{}{}:
		defer func() { <-w.turn }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		free := <-w.free
		if free >= n {
			w.free <- free - n
			return func() { w.free <- <-w.free + n }, nil
		}
		w.free <- free
		timer := time.NewTimer(w.sleep)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil, ctx.Err()
		}
	}
}

// Window is how many machines may be handled at once, are, and wait for a place.
func (s *Service) Window() (size, occupied, waiting int) {
	w := s.window
	free := <-w.free
	w.free <- free
	return w.size, w.size - free, int(w.waiting.Load())
}
