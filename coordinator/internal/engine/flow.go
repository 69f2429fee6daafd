package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"kadeploy/coordinator/internal/customops"
	"kadeploy/coordinator/internal/workflow"
)

// flow is one workflow: a part for each cluster, driven by one goroutine (run),
// and what users may ask of it, guarded by mu.
type flow struct {
	engine  *Engine
	req     *workflow.Request
	started time.Time
	logger  *slog.Logger
	parts   []*part
	inbox   *inbox
	stepped time.Time // of the last transition

	ctx      context.Context // ends when the workflow is stopped before it is launched
	stop     context.CancelFunc
	frozen   chan struct{} // closed when the workflow's goroutine feeds its automata no more
	accepted bool          // the journal knows of the workflow
	begun    bool          // and that it is launched
	claimed  bool          // the nodes' states in the store are ours to change
	refused  bool          // all nodes are busy elsewhere
	rest     Rest          // of the preparation; nil: nothing

	mu      sync.Mutex
	book    *book
	log     logbook
	debug   logbook
	failure *workflow.Failure
	ended   time.Time // zero while it runs
	events  []Event   // to be told when mu is released

	evidence  []*workflow.Evidence // of nodes that failed; each is filled in when its witness has spoken
	inquiries sync.WaitGroup
	moment    time.Time // of the transition that is told; zero: it is told now
	following bool      // the journal of one who died: machines have gone on since
	holds     bool      // nodes without a verdict are this workflow's: see underWay
}

// storeTime is how long a call of the journal or of the node states may take.
const storeTime = 30 * time.Second

// involved is why a node that is busy elsewhere is not touched (contract 13, G6).
const involved = "already involved in another operation"

func newFlow(e *Engine, req *workflow.Request) (*flow, error) {
	f := &flow{
		engine: e, req: req, started: time.Now(),
		logger: e.cfg.Logger.With("workflow", req.ID),
		inbox:  newInbox(),
	}
	if len(req.Clusters) == 0 {
		return nil, &workflow.Failure{Code: invalidNodelist, Message: "no node is given"}
	}
	seen := make(map[string]bool)
	for i, c := range req.Clusters {
		plan, err := workflow.NewPlan(req, c)
		if err != nil {
			return nil, err
		}
		if err := e.covers(plan); err != nil {
			return nil, err
		}
		if len(c.Nodes) == 0 {
			return nil, &workflow.Failure{Code: invalidNodelist, Message: fmt.Sprintf("no node of cluster %s is given", c.Cluster.Name)}
		}
		for _, n := range c.Nodes {
			if seen[n] {
				return nil, &workflow.Failure{Code: invalidNodelist, Message: fmt.Sprintf("node %s is given twice", n)}
			}
			seen[n] = true
		}
		f.parts = append(f.parts, newPart(f, i, plan))
	}
	f.book = newBook(f.parts)
	f.book.left = func(s workflow.Span) {
		if e.cfg.OnLeft != nil && !f.following {
			e.cfg.OnLeft(s)
		}
	}
	f.frozen = make(chan struct{})
	f.ctx, f.stop = context.WithCancel(context.Background())
	return f, nil
}

// covers checks that every micro-step of a plan can be done here.
func (e *Engine) covers(plan *workflow.Plan) error {
	for _, m := range plan.Macros {
		for _, in := range m.Instances {
			for _, s := range in.Micros {
				if e.cfg.Steps[implementation(s.Name, s.Op)] == nil {
					return &workflow.Failure{Code: invalidOption, Message: fmt.Sprintf("the micro-step %s of %s is not available on this server", s.Name, in.Name)}
				}
			}
		}
	}
	return nil
}

// implementation is the name under which a micro-step's, or an operation's, Step is found.
func implementation(micro string, op *customops.Op) string {
	if op != nil {
		return workflow.CustomOperation
	}
	return micro
}

// cancel asks for the end; run does the rest.
func (f *flow) cancel(e workflow.Event) {
	f.inbox.halt(e)
	f.stop()
}

// run is the workflow's goroutine.
func (f *flow) run(prepare Prepare) {
	defer f.stop()
	err := f.prepare(prepare)
	if err == nil {
		if err = f.launch(); err != nil {
			f.dropRest()
		}
	}
	f.drive(err)
}

// drive feeds the automata until they have ended, and ends the workflow. err is
// why it cannot even begin.
func (f *flow) drive(err error) {
	if err == nil {
		err = f.loop()
	}
	if errors.Is(err, errSuspended) || err != nil && f.engine.suspended.Load() {
		f.leave()
		return
	}
	f.finish(err)
}

func (f *flow) prepare(prepare Prepare) error {
	if prepare == nil {
		return nil
	}
	rest, err := prepare(f.ctx, func(level int, text string) {
		f.locked(func() { f.line("", level, text) })
	})
	f.rest = rest
	if err != nil && f.ctx.Err() != nil {
		return nil // cancelled: launch sees to it
	}
	return err
}

// launch claims the nodes and starts the automata.
func (f *flow) launch() error {
	if e, ok := f.inbox.halted(); ok && !f.begun {
		return f.step(time.Now(), f.toAll(e)) // never begun: nothing to journal or to undo
	}
	if f.engine.suspended.Load() {
		return errSuspended
	}
	ctx, cancel := context.WithTimeout(context.Background(), storeTime)
	defer cancel()
	if !f.begun {
		if err := f.engine.cfg.Journal.Begin(ctx, f.req); err != nil {
			return storeFailure("journal the begin of "+f.req.ID, err)
		}
		f.begun = true
	}
	var busy []string
	if state := f.busyState(); state != "" {
		var err error
		if busy, err = f.claim(ctx, state); err != nil {
			return storeFailure("claim the nodes of "+f.req.ID, err)
		}
		if len(busy) > 0 {
			f.locked(func() { f.line("", 0, fmt.Sprintf("The nodes %s are %s: they are discarded", fold(busy), involved)) })
		}
		if len(busy) == len(f.nodes()) {
			f.refused = true
			return &workflow.Failure{Code: nothingModified, Message: fmt.Sprintf("node %s is already involved in another deployment; wait for its end, or use --force", fold(busy))}
		}
		f.claimed = true
		f.locked(func() { f.holds = true })
	}
	f.locked(func() { f.overview() })
	events := make([][]workflow.Event, len(f.parts))
	for i, p := range f.parts {
		begin := workflow.Event{Kind: workflow.Begin, Reason: involved, Plan: p.plan.Sum(), Fetching: f.rest != nil}
		for _, n := range p.nodes {
			if slices.Contains(busy, n) {
				begin.Refused = append(begin.Refused, n)
			}
		}
		events[i] = []workflow.Event{begin}
	}
	return f.step(time.Now(), events)
}

func (f *flow) nodes() []string {
	var all []string
	for _, p := range f.parts {
		all = append(all, p.nodes...)
	}
	return all
}

func (f *flow) toAll(e workflow.Event) [][]workflow.Event {
	events := make([][]workflow.Event, len(f.parts))
	for i, p := range f.parts {
		if !p.automaton.Ended() {
			events[i] = []workflow.Event{e}
		}
	}
	return events
}

// linger is how long answers of nodes that do a micro-step together are waited for
// after the first: they go on together then, which saves tasks and lines of text.
const linger = 10 * time.Millisecond

// beat is how long nothing may be journalled while a workflow runs. After a crash the
// time since the last transition passes for time in which nobody worked.
const beat = 10 * time.Second

// loop feeds answers and the passing of time to the automata until all have ended.
func (f *flow) loop() error {
	fetched, wait := f.fetchRest()
	defer wait() // what was fetched is let go of at the end, not later
	defer f.stop()
	for {
		deadline, running := f.deadline()
		if !running {
			return nil
		}
		if next := f.stepped.Add(beat); deadline.IsZero() || next.Before(deadline) {
			deadline = next
		}
		wait := newTimer(deadline)
		var here [][]workflow.Event
		select {
		case <-f.inbox.signal:
		case <-wait.C:
		case err := <-fetched:
			var failed error
			if here, failed = f.fetchedAll(err); failed != nil {
				return failed
			}
		}
		wait.Stop()
		answers := f.inbox.collect(linger)
		if f.engine.suspended.Load() {
			return errSuspended
		}
		events := make([][]workflow.Event, len(f.parts))
		copy(events, here)
		for _, a := range answers {
			events[a.part] = append(events[a.part], a.event)
		}
		if e, ok := f.inbox.halted(); ok {
			for i, stop := range f.toAll(e) {
				events[i] = append(events[i], stop...)
			}
		}
		if err := f.step(time.Now(), events); err != nil {
			return err
		}
	}
}

// deadline is the first of the automata's; running is false when all have ended.
func (f *flow) deadline() (first time.Time, running bool) {
	for _, p := range f.parts {
		if p.automaton.Ended() {
			continue
		}
		running = true
		if d := p.automaton.Deadline(); !d.IsZero() && (first.IsZero() || d.Before(first)) {
			first = d
		}
	}
	return first, running
}

// newTimer fires at a moment; never if it is zero.
func newTimer(at time.Time) *time.Timer {
	if at.IsZero() {
		t := time.NewTimer(time.Hour)
		t.Stop()
		return t
	}
	return time.NewTimer(time.Until(at))
}

// step gives events to the automata, journals them, and only then does what the automata answered.
func (f *flow) step(now time.Time, events [][]workflow.Event) error {
	var records []workflow.Record
	outcomes := make([]workflow.Outcome, len(f.parts))
	for i, p := range f.parts {
		late := !p.automaton.Deadline().IsZero() && !p.automaton.Deadline().After(now)
		quiet := now.Sub(f.stepped) >= beat && !p.automaton.Ended()
		if len(events[i]) == 0 && !late && !quiet {
			continue
		}
		out, err := p.automaton.Step(now, events[i]...)
		if err != nil {
			return fmt.Errorf("cluster %s: %w", p.cluster.Name, err)
		}
		outcomes[i] = out
		p.seq++
		records = append(records, workflow.Record{Workflow: f.req.ID, Cluster: i, Seq: p.seq, At: now, Events: events[i]})
	}
	f.stepped = now
	if f.begun && len(records) > 0 {
		ctx, cancel := context.WithTimeout(context.Background(), storeTime)
		err := f.engine.cfg.Journal.Append(ctx, records)
		cancel()
		if err != nil {
			return storeFailure("journal "+f.req.ID, err)
		}
	}
	for i, p := range f.parts {
		p.kill(outcomes[i])
		f.publish(p, now, outcomes[i].Notices)
		f.settle(p, outcomes[i].Notices)
		p.order(outcomes[i])
	}
	return nil
}

// publish tells users what happened.
func (f *flow) publish(p *part, now time.Time, notices []workflow.Notice) {
	f.locked(func() {
		for _, n := range notices {
			if failed, ok := n.(workflow.NodesFailed); ok {
				f.inquire(p, now, failed)
			}
			if moved := f.book.note(p, now, n); len(moved) > 0 {
				f.events = append(f.events, Event{Workflow: f.req.ID, Type: EventNodes, Nodes: moved, Time: now})
			}
		}
		f.moment = now // as it would be told again, if the journal had to be followed
		p.text.tell(notices)
		f.moment = time.Time{}
	})
}

// finish ends the workflow: err is why it could not be carried out as a whole, nil if it was.
func (f *flow) finish(err error) {
	close(f.frozen)
	for _, p := range f.parts {
		p.killAll()
	}
	if err != nil {
		f.fail(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), storeTime)
	defer cancel()
	f.settleRest(ctx)
	f.keepStory(ctx)
	if err := f.endJournal(ctx); err != nil {
		f.logger.Error("the end of a workflow could not be journalled; it will be taken for interrupted at the next start", "error", err)
	}
	f.locked(func() {
		f.ended = time.Now()
		f.events = append(f.events, Event{Workflow: f.req.ID, Type: EventDone, Time: f.ended})
	})
	if f.engine.cfg.OnEnd != nil {
		f.engine.cfg.OnEnd(f.req, f.view())
	}
}

func (f *flow) endJournal(ctx context.Context) error {
	switch {
	case f.begun:
		return f.engine.cfg.Journal.End(ctx, f.req.ID, f.record())
	case f.accepted: // no node was touched
		return f.engine.cfg.Journal.End(ctx, f.req.ID, nil)
	}
	return nil
}

// fail notes a failure of the whole workflow. Nodes without a verdict get it as their reason.
func (f *flow) fail(err error) {
	var failure *workflow.Failure
	if !errors.As(err, &failure) {
		f.logger.Error("workflow failed", "error", err)
		failure = &workflow.Failure{Code: executeError, Message: err.Error()}
	}
	f.locked(func() { f.failure = failure })
	if !f.claimed {
		return
	}
	now := time.Now()
	for _, p := range f.parts {
		out, err := p.automaton.Step(now, workflow.Event{Kind: workflow.Fail, Reason: failure.Message})
		if err != nil {
			f.logger.Error("stop automaton", "cluster", p.cluster.Name, "error", err)
			continue
		}
		f.publish(p, now, out.Notices)
		f.settle(p, out.Notices)
	}
}

// Application codes of failures that come from here (contract 7.3).
const (
	invalidNodelist = 2
	invalidOption   = 4
	nothingModified = 14
	executeError    = 15
	databaseError   = 20
)

func storeFailure(operation string, err error) error {
	return &workflow.Failure{Code: databaseError, Message: fmt.Sprintf("%s: %v", operation, err)}
}

// locked runs do with the users' view locked, and tells the listener afterwards.
func (f *flow) locked(do func()) {
	f.mu.Lock()
	do()
	events := f.events
	f.events = nil
	f.mu.Unlock()
	if f.engine.cfg.OnEvent != nil {
		for _, e := range events {
			f.engine.cfg.OnEvent(e)
		}
	}
}
