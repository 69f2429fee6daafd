package launch

import (
	"context"
	"sync"
	"time"
)

// slotFor is how long a login keeps one of the window's places: one that takes longer
// waits for a dead host, most likely, and shall not hold up others.
const slotFor = time.Second

// slots are the places of a window, and as many again for those that take long. There is a
// limit to the latter, too: it may be this host that is slow.
type slots struct{ window, long chan struct{} }

func newSlots(n int) *slots {
	return &slots{window: make(chan struct{}, n), long: make(chan struct{}, n)}
}

// take waits for a place, which free gives back. It returns nil if ctx ends.
func (s *slots) take(ctx context.Context) (free func()) {
	select {
	case s.window <- struct{}{}:
	case <-ctx.Done():
		return nil
	}
	var mu sync.Mutex
	in, ended := s.window, false
	timer := time.AfterFunc(slotFor, func() {
		mu.Lock()
		defer mu.Unlock()
		if ended {
			return
		}
		select {
		case s.long <- struct{}{}:
			in = s.long
			<-s.window
		default:
		}
	})
	return func() {
		mu.Lock()
		defer mu.Unlock()
		timer.Stop()
		ended = true
		<-in
	}
}
