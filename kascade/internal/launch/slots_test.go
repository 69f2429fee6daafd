package launch

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestSlots: a thousand hosts, a part of which take a quarter of a second and the others,
// dead, five. The dead ones do not add up, and there are never more than twice the window.
func TestSlots(t *testing.T) {
	for _, c := range []struct {
		window, hosts, dead int
		within              time.Duration
	}{
		{64, 1000, 0, 4 * time.Second},
		{64, 1000, 64, 10 * time.Second},
		{8, 36, 8, 7 * time.Second},
		{1, 3, 3, 11 * time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := newSlots(c.window)
			start := time.Now()
			var busy atomic.Int64
			most := int64(0)
			done := make(chan func())
			go func() {
				for free := range done {
					free()
					busy.Add(-1)
				}
			}()
			for i := range c.hosts {
				free := s.take(t.Context())
				most = max(most, busy.Add(1))
				takes := 250 * time.Millisecond
				if i < c.dead {
					takes = 5 * time.Second
				}
				go func() { time.Sleep(takes); done <- free }()
				synctest.Wait()
			}
			for busy.Load() > 0 {
				time.Sleep(time.Millisecond)
				synctest.Wait()
			}
			close(done)
			if d := time.Since(start); d > c.within || most > int64(2*c.window) {
				t.Errorf("%+v: took %v, %d at once", c, d, most)
			}
		})
	}
}

func TestSlotsCancelled(t *testing.T) {
	s := newSlots(1)
	free := s.take(t.Context())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if s.take(ctx) != nil {
		t.Error("a place that is taken was given")
	}
	free()
	if len(s.window) != 0 || len(s.long) != 0 {
		t.Error("a place was not given back")
	}
}
