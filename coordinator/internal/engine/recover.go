package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"kadeploy/coordinator/internal/workflow"
)

// restarted is why nodes fail whose coordinator died in the middle of their workflow.
const restarted = "the coordinator was restarted"

// Recover takes over workflows that an earlier coordinator began and did not
// end; to be called before the first Submit. Their state is rebuilt from the
// journal, nodes without a verdict fail, and no node stays busy in the store.
// The workflows can be asked about as if they had ended here.
func (e *Engine) Recover(ctx context.Context, past []workflow.Interrupted) error {
	var errs []error
	for _, w := range past {
		if err := e.recoverOne(ctx, w); err != nil {
			errs = append(errs, fmt.Errorf("recover workflow %s: %w", w.Request.ID, err))
		}
	}
	return errors.Join(errs...)
}

func (e *Engine) recoverOne(ctx context.Context, w workflow.Interrupted) error {
	f, err := newFlow(e, w.Request)
	if err != nil {
		return errors.Join(err, e.release(ctx, w.Request))
	}
	defer f.stop()
	f.begun = true
	f.started = w.Request.Created
	if len(w.Records) > 0 {
		f.started = w.Records[0].At
	}
	f.quiet = true // its text was told by the one who died
	err = f.replay(w.Records)
	f.quiet = false
	if err != nil {
		f.logger.Error("the journal of an interrupted workflow cannot be followed; all of its nodes fail", "error", err)
	}
	now := time.Now()
	for _, p := range f.parts {
		out, err := p.automaton.Step(now, workflow.Event{Kind: workflow.Fail, Reason: restarted})
		if err != nil {
			return err
		}
		f.publish(p, now, out.Notices)
	}
	f.ended = now
	if err := f.abandon(ctx); err != nil {
		return err
	}
	if err := e.cfg.Journal.End(ctx, w.Request.ID, f.record()); err != nil {
		return fmt.Errorf("journal its end: %w", err)
	}
	f.logger.Warn("workflow was interrupted by the end of the coordinator; its unfinished nodes failed")
	e.mu.Lock()
	defer e.mu.Unlock()
	e.flows[w.Request.ID] = f
	if e.cfg.OnEnd != nil {
		v := f.view()
		e.wg.Go(func() { e.cfg.OnEnd(f.req, v) })
	}
	return nil
}

// replay gives the records to the automata again. What these command was done, or not, by the one who died.
func (f *flow) replay(records []workflow.Record) error {
	for _, r := range records {
		if r.Cluster < 0 || r.Cluster >= len(f.parts) {
			return fmt.Errorf("record %d names cluster %d of %d", r.Seq, r.Cluster, len(f.parts))
		}
		p := f.parts[r.Cluster]
		if r.Seq != p.seq+1 {
			return fmt.Errorf("record %d of cluster %s follows record %d", r.Seq, p.cluster.Name, p.seq)
		}
		out, err := p.automaton.Step(r.At, r.Events...)
		if err != nil {
			return fmt.Errorf("record %d of cluster %s: %w", r.Seq, p.cluster.Name, err)
		}
		p.seq = r.Seq
		f.publish(p, r.At, out.Notices)
	}
	return nil
}

// abandon writes the states of nodes that the store still takes for busy. The
// verdict of a node may have been journalled and not reached the store.
func (f *flow) abandon(ctx context.Context) error {
	if f.busyState() == "" {
		return nil
	}
	byState := make(map[string][]string)
	for _, p := range f.parts {
		for _, n := range p.nodes {
			if v := f.book.nodes[n].verdict; v != workflow.VerdictRefused {
				state := f.finalState(p, v)
				byState[state] = append(byState[state], n)
			}
		}
	}
	for state, nodes := range byState {
		if err := f.engine.cfg.States.Abandon(ctx, nodes, f.update(state)); err != nil {
			return fmt.Errorf("write the state of its nodes: %w", err)
		}
	}
	return nil
}

// release frees the nodes of a workflow that can no longer be understood, and forgets it.
func (e *Engine) release(ctx context.Context, req *workflow.Request) error {
	f := &flow{engine: e, req: req}
	var nodes []string
	for _, c := range req.Clusters {
		nodes = append(nodes, c.Nodes...)
	}
	if f.busyState() != "" {
		if err := e.cfg.States.Abandon(ctx, nodes, f.update(f.finalState(nil, workflow.VerdictKO))); err != nil {
			return fmt.Errorf("write the state of its nodes: %w", err)
		}
	}
	return e.cfg.Journal.End(ctx, req.ID, nil)
}
