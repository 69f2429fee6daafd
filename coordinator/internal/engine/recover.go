package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"kadeploy/coordinator/internal/workflow"
)

// Recover takes over workflows that an earlier coordinator accepted and did not
// end; to be called before the first Submit. Their state is rebuilt from the
// journal. Those whose nodes were claimed go on: what was under way is done again
// by the steps, which look first (workflow.Task.Again). The others end with the
// reason, and no node stays busy in the store. All can be asked about under their IDs.
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
	var f *flow
	err := w.Unreadable
	if err == nil {
		f, err = newFlow(e, w.Request)
	}
	if err != nil { // another version wrote it, or the site has changed: no reason not to start
		e.cfg.Logger.Error("an interrupted workflow cannot be understood, and ends; its nodes are free now, or after purge_deployment_timer",
			"workflow", w.Request.ID, "error", err)
		return e.release(ctx, w.Request)
	}
	f.accepted, f.begun = true, w.Launched
	f.started = w.Request.Created
	if len(w.Records) > 0 {
		f.started = w.Records[0].At
	}
	reason := f.follow(w)
	f.holds = reason == nil && len(w.Records) > 0 && f.busyState() != ""
	if err := e.enter(f); err != nil {
		return err
	}
	go func() {
		defer e.wg.Done()
		defer f.stop()
		f.resume(len(w.Records) > 0, reason)
	}()
	return nil
}

// follow rebuilds the state of a workflow from its journal, and says why it cannot
// go on; nil if it can.
func (f *flow) follow(w workflow.Interrupted) *workflow.Failure {
	switch {
	case !w.Launched:
		return unable("the coordinator was restarted before the files were there; nothing was done to the nodes: give the order again")
	case w.Request.Fetching:
		return unable("the coordinator was restarted while the image was being fetched: give the order again")
	case len(w.Records) == 0: // it claimed its nodes at most
		f.stepped = w.Request.Created
	}
	if err := f.replay(w.Records); err != nil {
		f.logger.Error("the journal of an interrupted workflow cannot be followed; its unfinished nodes fail", "error", err)
		return unable("the coordinator was restarted, and cannot go on: " + err.Error())
	}
	if away := time.Since(f.stepped); away > f.engine.cfg.BusyFor {
		return unable(fmt.Sprintf("the coordinator was away for %s: after %s (purge_deployment_timer) nodes may be others'",
			away.Round(time.Second), f.engine.cfg.BusyFor))
	}
	return nil
}

func unable(why string) *workflow.Failure {
	return &workflow.Failure{Code: executeError, Message: why}
}

// replay gives the records to the automata again. What these command was done, or not, by the one who died.
func (f *flow) replay(records []workflow.Record) error {
	f.following = true
	defer func() { f.following = false }()
	for _, r := range records {
		if r.Cluster < 0 || r.Cluster >= len(f.parts) {
			return fmt.Errorf("record %d names cluster %d of %d", r.Seq, r.Cluster, len(f.parts))
		}
		p := f.parts[r.Cluster]
		if r.Seq != p.seq+1 {
			return fmt.Errorf("record %d of cluster %s follows record %d", r.Seq, p.cluster.Name, p.seq)
		}
		for _, e := range r.Events {
			if e.Kind == workflow.Begin && e.Plan != "" && e.Plan != p.plan.Sum() {
				return fmt.Errorf("this version of it would take other steps on cluster %s", p.cluster.Name)
			}
		}
		out, err := p.automaton.Step(r.At, r.Events...)
		if err != nil {
			return fmt.Errorf("record %d of cluster %s: %w", r.Seq, p.cluster.Name, err)
		}
		p.seq = r.Seq
		f.publish(p, r.At, out.Notices)
		if r.At.After(f.stepped) {
			f.stepped = r.At
		}
	}
	return nil
}

// resume goes on with a workflow whose state was rebuilt, or ends it for a reason.
// claimed: its nodes were claimed and its automata begun.
func (f *flow) resume(claimed bool, reason *workflow.Failure) {
	var err error
	if claimed && reason == nil {
		reason = f.taken()
	}
	switch {
	case reason != nil:
		f.logger.Warn("an interrupted workflow cannot go on", "reason", reason.Message)
		if f.begun {
			f.giveUp(reason.Message)
		} else {
			err = reason
		}
	case claimed:
		f.claimed = f.busyState() != ""
		if err = f.catchUp(); err == nil {
			f.logger.Info("an interrupted workflow goes on", "away", time.Since(f.stepped).Round(time.Millisecond))
			events := f.toAll(workflow.Event{Kind: workflow.Resume})
			for i, p := range f.parts {
				if p.automaton.Fetching() { // the journal knows where the image is: see fetchedAll
					events[i] = append(events[i], workflow.Event{Kind: workflow.Fetched})
				}
			}
			err = f.step(time.Now(), events)
		}
	default:
		f.logger.Info("an interrupted workflow begins")
		err = f.launch()
	}
	f.drive(err)
}

// taken says why a workflow cannot go on whose nodes are not its own any more: others took
// them by force, or their end was told and only its journal could not be written.
func (f *flow) taken() *workflow.Failure {
	if f.busyState() == "" {
		return nil
	}
	var open []string
	for _, n := range f.nodes() {
		if f.book.nodes[n].verdict == "" {
			open = append(open, n)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), storeTime)
	defer cancel()
	lost, err := f.engine.cfg.States.Lost(ctx, open, f.req.ID)
	if err != nil {
		return unable("the coordinator was restarted, and cannot go on: " + err.Error())
	}
	if len(lost) > 0 {
		return unable(fmt.Sprintf("the coordinator was restarted, and cannot go on: this operation no longer holds %s", fold(lost)))
	}
	return nil
}

// giveUp fails the nodes without a verdict. The journal may be one that cannot be
// followed: nothing is added to it but the end.
func (f *flow) giveUp(reason string) {
	now := time.Now()
	for _, p := range f.parts {
		out, err := p.automaton.Step(now, workflow.Event{Kind: workflow.Fail, Reason: reason})
		if err != nil {
			f.logger.Error("stop automaton", "cluster", p.cluster.Name, "error", err)
			continue
		}
		f.publish(p, now, out.Notices)
	}
	if err := f.catchUp(); err != nil {
		f.logger.Error("nodes are taken for busy until the purge time is over", "error", err)
	}
}

// catchUp writes the states of nodes whose verdicts may not have reached the store.
func (f *flow) catchUp() error {
	ctx, cancel := context.WithTimeout(context.Background(), storeTime)
	defer cancel()
	return f.abandon(ctx)
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
			if v := f.book.nodes[n].verdict; v != workflow.VerdictRefused && v != "" {
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
