package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"kadeploy/coordinator/internal/stats"
	"kadeploy/coordinator/internal/workflow"
)

// Step does one kind of micro-step.
type Step interface {
	// Run does the micro-step for t.Nodes and calls report exactly once for each
	// of them, as each is done. It returns soon after ctx ends.
	Run(ctx context.Context, t *workflow.Task, report func(node string, err error))
}

// Journal keeps the transitions of workflows so that they survive the coordinator.
// What a method was given is durable when it returns nil.
type Journal interface {
	// Accept notes a workflow that was ordered; Begin, that its nodes are about to be claimed.
	Accept(ctx context.Context, req *workflow.Request) error
	Begin(ctx context.Context, req *workflow.Request) error
	// Complete replaces what is kept of a request that was begun: its files are all here.
	Complete(ctx context.Context, req *workflow.Request) error
	Append(ctx context.Context, records []workflow.Record) error
	// End notes that a workflow is over, and what is kept of it; nil if it cannot be told.
	End(ctx context.Context, id string, kept *stats.Record) error
}

// NodeStates is the store's idea of what each node is doing.
type NodeStates interface {
	// Claim gives nodes the state u, all but those that are in a state ending in
	// "ing", of another workflow, since a moment after since; these are returned, untouched.
	// Two claims never both get a node.
	Claim(ctx context.Context, nodes []string, u workflow.NodeUpdate, since time.Time) (busy []string, err error)
	// Settle gives the state u to those of the nodes that no other workflow has claimed since.
	Settle(ctx context.Context, nodes []string, u workflow.NodeUpdate) error
	// Abandon gives the state u to those of the nodes that are in a state ending in
	// "ing", unless another workflow gave it to them.
	Abandon(ctx context.Context, nodes []string, u workflow.NodeUpdate) error
	// Lost lists those of the nodes that are not in a state ending in "ing" of the workflow (any more).
	Lost(ctx context.Context, nodes []string, workflow string) ([]string, error)
}

// Prepare fetches what a request needs before its nodes are touched, and tells
// of it with note (verbosity level, text). A *workflow.Failure is shown to the user as it is.
// What takes long may be left to rest.
type Prepare func(ctx context.Context, note func(level int, text string)) (rest Rest, err error)

// Rest returns when the image is here too, and puts it into the request. It runs while
// nodes are on their way already; until it returns, no broadcast starts, and its error
// ends the workflow. nil: nothing is left.
type Rest func(ctx context.Context) error

// Event tells a listener that something about a workflow is new. It carries no
// more than is needed to decide whether to look.
type Event struct {
	Workflow string
	Type     EventType
	Nodes    []string // of EventNodes
	Text     string   // of EventLine
	Time     time.Time
}

// EventType says what is new.
type EventType string

// The types of event.
const (
	EventLine     EventType = "line"     // a line of text
	EventNodes    EventType = "nodes"    // nodes entered a micro-step or got their verdict
	EventProgress EventType = "progress" // a long micro-step went on
	EventDone     EventType = "done"     // the workflow ended
)

// Config is what an engine works with. Steps, Journal and States are mandatory.
type Config struct {
	Steps   map[string]Step // by name of micro-step; "dummy" is there without asking
	Journal Journal
	States  NodeStates
	Logger  *slog.Logger // slog.Default if nil

	BusyFor   time.Duration // age after which a busy node is free again: 15 minutes if 0
	Retention time.Duration // how long after its start a finished workflow is kept: 6 hours if 0

	// Refused lists those of the nodes on which a user has no right (any more); may be nil: none.
	Refused func(ctx context.Context, user string, nodes []string) ([]string, error)

	Witness Witness // asked about nodes that fail; may be nil
	Stories Stories // may be nil: then timelines are gone with their workflows

	OnLeft  func(workflow.Span)                          // may be nil; must not block; a node left a micro-step
	OnEvent func(Event)                                  // may be nil; must not block
	OnEnd   func(req *workflow.Request, v workflow.View) // may be nil; called once after the end, on a goroutine of the workflow
}

// Engine runs workflows. Its methods may be called from any goroutine.
type Engine struct {
	cfg  Config
	ctx  context.Context // ends at Close
	stop context.CancelFunc
	wg   sync.WaitGroup

	cut       chan struct{} // closed by Suspend, when nodes hear nothing any more
	suspended atomic.Bool   // nothing that happens counts

	mu     sync.Mutex
	flows  map[string]*flow
	closed bool

	inquiring chan struct{} // places for evidence that is being taken
}

// New returns an engine that runs nothing yet.
func New(cfg Config) (*Engine, error) {
	if cfg.Journal == nil || cfg.States == nil {
		return nil, errors.New("engine: a journal and node states are needed")
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	if cfg.BusyFor == 0 {
		cfg.BusyFor = 15 * time.Minute
	}
	if cfg.Retention == 0 {
		cfg.Retention = 6 * time.Hour
	}
	steps := map[string]Step{workflow.Dummy: dummy{}}
	for name, s := range cfg.Steps {
		steps[name] = s
	}
	cfg.Steps = steps
	ctx, stop := context.WithCancel(context.Background())
	e := &Engine{cfg: cfg, ctx: ctx, stop: stop, flows: make(map[string]*flow), cut: make(chan struct{}), inquiring: make(chan struct{}, evidenceAtOnce)}
	e.wg.Go(e.sweep)
	return e, nil
}

// Submit starts a workflow and returns at once. The error is a *workflow.Failure
// if the request cannot be planned; later failures are found in its View.
// prepare may be nil, and may complete req (its Files): nobody else reads it meanwhile.
// ctx bounds Submit only: the workflow lives until its end, Cancel or Close.
func (e *Engine) Submit(ctx context.Context, req *workflow.Request, prepare Prepare) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	f, err := newFlow(e, req)
	if err != nil {
		return err
	}
	if err := e.enter(f); err != nil {
		return err
	}
	// Whoever is told its ID finds the workflow again, whatever happens to this process.
	if err := e.cfg.Journal.Accept(ctx, req); err != nil {
		e.mu.Lock()
		delete(e.flows, req.ID)
		e.mu.Unlock()
		close(f.frozen)
		e.wg.Done()
		return storeFailure("journal the order "+req.ID, err)
	}
	f.accepted = true
	go func() {
		defer e.wg.Done()
		f.run(prepare)
	}()
	return nil
}

// enter makes a workflow known. Who calls it owes e.wg a Done.
func (e *Engine) enter(f *flow) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return errors.New("the coordinator is shutting down; try again when it is back")
	}
	if _, dup := e.flows[f.req.ID]; dup {
		return fmt.Errorf("workflow %s exists already", f.req.ID)
	}
	e.flows[f.req.ID] = f
	e.wg.Add(1)
	return nil
}

// Cancel stops a running workflow: its steps are told to stop and its nodes that
// have no verdict yet are aborted, for a reason if there is one to tell. It
// returns at once; the end shows in the View.
func (e *Engine) Cancel(id, reason string) error {
	f, ok := e.flow(id)
	if !ok {
		return fmt.Errorf("cancel workflow %s: it does not exist", id)
	}
	f.cancel(workflow.Event{Kind: workflow.Cancel, Reason: reason})
	return nil
}

// Forget drops a finished workflow. A running one stays.
func (e *Engine) Forget(id string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if f, ok := e.flows[id]; ok && f.done() {
		delete(e.flows, id)
	}
}

// Close stops all workflows as Cancel does, and returns when nothing runs any
// more or ctx ends.
func (e *Engine) Close(ctx context.Context) error {
	e.mu.Lock()
	e.closed = true
	running := e.sorted("")
	e.mu.Unlock()
	for _, f := range running {
		f.cancel(workflow.Event{Kind: workflow.Cancel})
	}
	return e.rest(ctx)
}

// rest waits until nothing runs any more.
func (e *Engine) rest(ctx context.Context) error {
	e.stop()
	ended := make(chan struct{})
	go func() { e.wg.Wait(); close(ended) }()
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("close engine: steps are still running: %w", ctx.Err())
	}
}

func (e *Engine) flow(id string) (*flow, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	f, ok := e.flows[id]
	return f, ok
}

// sorted lists the flows of a kind, or of all, by their start. e.mu is held.
func (e *Engine) sorted(kind workflow.Kind) []*flow {
	var list []*flow
	for _, f := range e.flows {
		if kind == "" || f.req.Kind == kind {
			list = append(list, f)
		}
	}
	slices.SortFunc(list, func(a, b *flow) int {
		if c := a.started.Compare(b.started); c != 0 {
			return c
		}
		return strings.Compare(a.req.ID, b.req.ID)
	})
	return list
}

// sweepEvery is how often finished workflows are looked at (contract 5.1, autoclean_threshold).
const sweepEvery = 5 * time.Minute

func (e *Engine) sweep() {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-e.ctx.Done():
			return
		case now := <-tick.C:
			e.mu.Lock()
			for id, f := range e.flows {
				if f.done() && now.Sub(f.started) > e.cfg.Retention {
					delete(e.flows, id)
				}
			}
			e.mu.Unlock()
		}
	}
}
