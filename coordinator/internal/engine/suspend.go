package engine

import (
	"context"
	"errors"
)

// errSuspended: the workflow is left to the next coordinator.
var errSuspended = errors.New("the coordinator stops")

// Suspend leaves the running workflows to the next coordinator, as if this one had
// died, but in order: from now on nothing that happens counts; then cut is called,
// after which no node may hear of the end of what it does; then the steps are
// stopped. It returns when nothing runs any more or ctx ends.
func (e *Engine) Suspend(ctx context.Context, cut func()) error {
	e.suspended.Store(true)
	e.mu.Lock()
	e.closed = true
	running := e.sorted("")
	e.mu.Unlock()
	for _, f := range running {
		f.inbox.wake()
		f.stop() // the fetching of files
		select {
		case <-f.frozen:
		case <-ctx.Done():
		}
	}
	cut()
	close(e.cut)
	return e.rest(ctx)
}

// leave ends the workflow's goroutine without an end of the workflow.
func (f *flow) leave() {
	close(f.frozen)
	<-f.engine.cut
	for _, p := range f.parts {
		p.killAll()
	}
	f.logger.Info("workflow is left to the next start of the coordinator")
}
