package engine

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"kadeploy/coordinator/internal/cluster"
	"kadeploy/coordinator/internal/workflow"
)

// part is the share of one cluster in a workflow. It belongs to the workflow's
// goroutine, except for text, which is guarded by the flow's mu.
type part struct {
	flow      *flow
	index     int
	cluster   *cluster.Cluster
	nodes     []string
	plan      *workflow.Plan
	automaton *workflow.Automaton
	seq       int // of the last record
	text      *printer

	tasks     map[int]*runningTask // that have not returned, or not been looked at since
	unsettled []unsettled
}

// runningTask is a step at work.
type runningTask struct {
	nodes  []string
	cancel context.CancelCauseFunc
	done   chan struct{} // closed when the step has returned
	killed bool
}

// killGrace is how long a step that was told to stop may take before the
// workflow goes on without waiting for it.
const killGrace = 10 * time.Second

// deadlineMargin is by how much a step's context outlives the deadline at which
// the automaton has it killed, so that the reason is told by the automaton.
const deadlineMargin = time.Second

var (
	errKilled   = errors.New("the micro-step was stopped")
	errDeadline = errors.New("the micro-step's time is over")
)

func newPart(f *flow, index int, plan *workflow.Plan) *part {
	c := f.req.Clusters[index]
	p := &part{
		flow: f, index: index, cluster: c.Cluster, nodes: slices.Clone(c.Nodes), plan: plan,
		automaton: workflow.NewAutomaton(plan, c.Nodes), tasks: make(map[int]*runningTask),
	}
	p.text = newPrinter(f, p)
	return p
}

// kill stops the tasks that the automaton gave up. It returns when those whose
// nodes got their verdict have stopped: nobody works on a node that is declared done.
func (p *part) kill(out workflow.Outcome) {
	var judged []string
	for _, n := range out.Notices {
		if j, ok := n.(workflow.Judged); ok {
			judged = append(judged, j.Nodes...)
		}
	}
	var wait []*runningTask
	for _, c := range out.Commands {
		k, ok := c.(workflow.Kill)
		if !ok {
			continue
		}
		t := p.tasks[k.Task]
		if t == nil {
			continue
		}
		t.killed = true
		t.cancel(errKilled)
		if slices.ContainsFunc(t.nodes, func(n string) bool { return slices.Contains(judged, n) }) {
			wait = append(wait, t)
		}
	}
	p.await(wait)
}

// killAll stops whatever still runs, and waits for it.
func (p *part) killAll() {
	var all []*runningTask
	for _, t := range p.tasks {
		t.cancel(errKilled)
		all = append(all, t)
	}
	p.await(all)
}

func (p *part) await(tasks []*runningTask) {
	if len(tasks) == 0 {
		return
	}
	patience := time.NewTimer(killGrace)
	defer patience.Stop()
	for _, t := range tasks {
		select {
		case <-t.done:
		case <-patience.C:
			p.flow.logger.Error("a micro-step does not stop; going on without it", "cluster", p.cluster.Name, "nodes", t.nodes)
			return
		}
	}
}

// order starts the tasks that the automaton commands.
func (p *part) order(out workflow.Outcome) {
	for _, c := range out.Commands {
		if r, ok := c.(workflow.Run); ok {
			p.start(r)
		}
	}
}

func (p *part) start(r workflow.Run) {
	ctx, cancel := context.WithCancelCause(context.Background())
	free := context.CancelFunc(func() {})
	if !r.Deadline.IsZero() {
		ctx, free = context.WithDeadlineCause(ctx, r.Deadline.Add(deadlineMargin), errDeadline)
	}
	t := &runningTask{nodes: r.Nodes, cancel: cancel, done: make(chan struct{})}
	before := p.predecessors(r.Nodes)
	p.tasks[r.Task] = t
	p.flow.engine.wg.Go(func() {
		defer close(t.done)
		defer cancel(nil)
		defer free()
		for _, b := range before {
			select {
			case <-b.done:
			case <-time.After(killGrace):
				p.flow.logger.Error("a micro-step does not stop; going on without it", "step", r.Micro.Name, "nodes", b.nodes)
			case <-ctx.Done():
			}
		}
		p.do(ctx, r)
	})
}

// predecessors are the tasks that were killed under these nodes and have not
// returned yet: what follows on a node waits for them. Those that are over are forgotten.
func (p *part) predecessors(nodes []string) []*runningTask {
	var list []*runningTask
	for id, t := range p.tasks {
		select {
		case <-t.done:
			delete(p.tasks, id)
			continue
		default:
		}
		if t.killed && slices.ContainsFunc(t.nodes, func(n string) bool { return slices.Contains(nodes, n) }) {
			list = append(list, t)
		}
	}
	return list
}

// do runs the step, and sees to it that each node is answered for exactly once,
// whatever the step does.
func (p *part) do(ctx context.Context, r workflow.Run) {
	desk := &desk{part: p, task: r.Task, step: r.Micro.Name, waiting: slices.Clone(r.Nodes)}
	defer func() {
		cause := errors.New("the micro-step ended without a word about the node; this is a bug of the server, see its log")
		if panicked := recover(); panicked != nil {
			p.flow.logger.Error("panic in a micro-step", "step", r.Micro.Name, "nodes", r.Nodes, "panic", panicked, "stack", string(debug.Stack()))
			cause = fmt.Errorf("the micro-step crashed (%v); this is a bug of the server, see its log", panicked)
		}
		desk.close(cause)
	}()
	p.flow.engine.cfg.Steps[implementation(r.Micro.Name, r.Op)].Run(ctx, p.task(r), desk.report)
}

func (p *part) task(r workflow.Run) *workflow.Task {
	f := p.flow
	return &workflow.Task{
		ID: fmt.Sprintf("%s.%d.%d", f.req.ID, p.index, r.Task), Again: r.Again,
		Request: f.req, Cluster: p.cluster, Macro: r.Run.Macro, Instance: r.Run.Instance,
		Micro: r.Micro.Name, Argument: r.Micro.Argument, Op: r.Op, Attempt: r.Run.Attempt, Nodes: slices.Clone(r.Nodes), Limit: r.Limit,
		Note: func(level int, text string) {
			f.locked(func() { p.text.note(r.Run, level, text) })
		},
		Output: func(node, command, stdout, stderr string, status int) {
			f.locked(func() { f.output(node, command, stdout, stderr, status) })
		},
		Printed: func(node, command, stdout, stderr string) {
			f.locked(func() { f.printed(node, command, stdout, stderr) })
		},
		Begun: func(nodes []string) {
			now := time.Now()
			f.locked(func() { f.book.begun(now, r.Micro.Name, nodes) })
		},
		Progress: func(progress workflow.Progress) {
			f.locked(func() {
				f.book.progress = &progress
				f.events = append(f.events, Event{Workflow: f.req.ID, Type: EventProgress, Time: time.Now()})
			})
		},
	}
}

// desk takes a step's answers.
type desk struct {
	part *part
	task int
	step string

	mu      sync.Mutex
	waiting []string
}

func (d *desk) report(node string, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	i := slices.Index(d.waiting, node)
	if i < 0 {
		d.part.flow.logger.Error("a micro-step answers for a node that is not asked for, or twice", "step", d.step, "node", node, "error", err)
		return
	}
	d.waiting = slices.Delete(d.waiting, i, i+1)
	e := workflow.Event{Kind: workflow.Passed, Task: d.task, Node: node}
	if err != nil {
		e.Kind, e.Reason = workflow.Failed, err.Error()
	}
	d.part.flow.inbox.put(answer{part: d.part.index, event: e, more: len(d.waiting) > 0})
}

// close answers for the nodes that the step left out.
func (d *desk) close(cause error) {
	d.mu.Lock()
	left := slices.Clone(d.waiting)
	d.mu.Unlock()
	for _, node := range left {
		d.report(node, cause)
	}
}
