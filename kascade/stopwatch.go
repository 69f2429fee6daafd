package kascade

import (
	"sync"
	"time"
)

// stopwatch adds up the time that one activity takes. One goroutine starts and stops it,
// another asks.
type stopwatch struct {
	mu    sync.Mutex
	since time.Time // zero: it does not run
	sum   time.Duration
}

// start does nothing if it runs.
func (s *stopwatch) start() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.since.IsZero() {
		s.since = time.Now()
	}
}

// stop does nothing if it does not run.
func (s *stopwatch) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.since.IsZero() {
		s.sum += time.Since(s.since)
		s.since = time.Time{}
	}
}

// running is the time since it was started; 0: it does not run.
func (s *stopwatch) running() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.since.IsZero() {
		return 0
	}
	return time.Since(s.since)
}

// take is the time since it was last taken, of what goes on now, too.
func (s *stopwatch) take() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.since.IsZero() {
		now := time.Now()
		s.sum += now.Sub(s.since)
		s.since = now
	}
	d := s.sum
	s.sum = 0
	return d
}
