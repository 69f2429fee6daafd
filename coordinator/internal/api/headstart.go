package api

import (
	"context"
	"time"

	"kadeploy/coordinator/internal/workflow"
)

// headStart is how long nodes are left alone for the image's sake: an image that is in
// the cache, or cannot be had, is known by then.
const headStart = 2 * time.Second

// fetching is a file on its way.
type fetching struct {
	done chan struct{}
	file workflow.File
	err  error
	stop context.CancelFunc
}

// startFetch begins to get a file. It has to be waited for, or dropped.
func startFetch(ctx context.Context, get func(ctx context.Context) (workflow.File, error)) *fetching {
	ctx, stop := context.WithCancel(ctx)
	f := &fetching{done: make(chan struct{}), stop: stop}
	go func() {
		defer close(f.done)
		f.file, f.err = get(ctx)
	}()
	return f
}

// within tells whether the file's fate is known after a time.
func (f *fetching) within(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-f.done:
		return true
	case <-timer.C:
		return false
	}
}

// wait returns the file. When ctx ends, so does the fetch.
func (f *fetching) wait(ctx context.Context) (workflow.File, error) {
	defer f.stop()
	select {
	case <-f.done:
		return f.file, f.err
	case <-ctx.Done():
		f.drop()
		return workflow.File{}, context.Cause(ctx)
	}
}

// drop ends the fetch, and returns when it has ended.
func (f *fetching) drop() {
	f.stop()
	<-f.done
}
