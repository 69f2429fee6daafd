package engine

import (
	"sync"
	"time"

	"kadeploy/coordinator/internal/workflow"
)

// answer is what a step said of one node.
type answer struct {
	part  int
	event workflow.Event
	more  bool // other nodes of the same task have not answered yet
}

// inbox holds the answers until the workflow's goroutine takes them. Putting
// never blocks, so that a step is never held up by the journal.
type inbox struct {
	signal chan struct{} // something is there

	mu      sync.Mutex
	answers []answer
	stop    *workflow.Event
}

func newInbox() *inbox { return &inbox{signal: make(chan struct{}, 1)} }

func (b *inbox) put(a answer) {
	b.mu.Lock()
	b.answers = append(b.answers, a)
	b.mu.Unlock()
	b.wake()
}

// halt leaves the order to stop; the first one counts.
func (b *inbox) halt(e workflow.Event) {
	b.mu.Lock()
	if b.stop == nil {
		b.stop = &e
	}
	b.mu.Unlock()
	b.wake()
}

func (b *inbox) halted() (workflow.Event, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.stop == nil {
		return workflow.Event{}, false
	}
	return *b.stop, true
}

func (b *inbox) wake() {
	select {
	case b.signal <- struct{}{}:
	default:
	}
}

// collect takes what is there, and what follows within patience as long as
// nodes of the same tasks have not answered.
func (b *inbox) collect(patience time.Duration) []answer {
	all := b.take()
	if !incomplete(all) {
		return all
	}
	end := time.NewTimer(patience)
	defer end.Stop()
	for incomplete(all) {
		select {
		case <-b.signal:
			all = append(all, b.take()...)
			if _, stop := b.halted(); stop {
				return all
			}
		case <-end.C:
			return append(all, b.take()...)
		}
	}
	return all
}

func (b *inbox) take() []answer {
	b.mu.Lock()
	defer b.mu.Unlock()
	taken := b.answers
	b.answers = nil
	return taken
}

// incomplete tells whether a task has answered for some of its nodes only.
func incomplete(answers []answer) bool {
	type id struct{ part, task int }
	last := make(map[id]bool)
	for _, a := range answers {
		last[id{a.part, a.event.Task}] = a.more
	}
	for _, more := range last {
		if more {
			return true
		}
	}
	return false
}
