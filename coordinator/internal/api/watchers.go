package api

import (
	"sync"
	"time"
)

// watchers are the readers of events, by workflow. Whoever started a workflow drops
// it as soon as he has read how it ended; those who watch it shall read that, too.
type watchers struct {
	mu    sync.Mutex
	count map[string]int
}

// grace is how long a workflow that is dropped stays for those who watch it.
const grace = 10 * time.Second

func (w *watchers) enter(workflow string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.count == nil {
		w.count = make(map[string]int)
	}
	w.count[workflow]++
}

func (w *watchers) leave(workflow string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.count[workflow]--; w.count[workflow] <= 0 {
		delete(w.count, workflow)
	}
}

// forget drops a workflow that is done, at once if nobody watches it.
func (s *server) forget(workflow string) {
	s.watching.mu.Lock()
	watched := s.watching.count[workflow] > 0
	s.watching.mu.Unlock()
	if !watched {
		s.Workflows.Forget(workflow)
		return
	}
	time.AfterFunc(grace, func() { s.Workflows.Forget(workflow) })
}
