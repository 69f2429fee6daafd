package engine

import (
	"context"

	"kadeploy/coordinator/internal/workflow"
)

// fetchRest runs what is left of the preparation beside the nodes' own way. Its end
// comes through fetched, which is nil if nothing is left; wait returns when it has ended.
func (f *flow) fetchRest() (fetched <-chan error, wait func()) {
	if f.rest == nil {
		return nil, func() {}
	}
	done := make(chan error, 1)
	ended := make(chan struct{})
	f.engine.wg.Go(func() {
		defer close(ended)
		done <- f.rest(f.ctx)
	})
	return done, func() { <-ended }
}

// fetchedAll tells the automata that the image is here, after the journal knows where. An error
// ends the workflow; one that comes of its being stopped does not.
func (f *flow) fetchedAll(err error) ([][]workflow.Event, error) {
	if _, stopped := f.inbox.halted(); stopped {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), storeTime)
	defer cancel()
	if err := f.engine.cfg.Journal.Complete(ctx, f.req); err != nil {
		return nil, storeFailure("journal the files of "+f.req.ID, err)
	}
	return f.toAll(workflow.Event{Kind: workflow.Fetched}), nil
}

// dropRest ends what is left of the preparation of a workflow that does not start.
func (f *flow) dropRest() {
	if f.rest != nil {
		f.stop()
		_ = f.rest(f.ctx) // it was stopped, and the workflow has failed for another reason
	}
}
