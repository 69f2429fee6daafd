package workflow

import (
	"fmt"
	"slices"
	"time"
)

// Automaton is the state of one cluster's nodes on their way through a Plan.
// Given the same events at the same times it does the same: it can be rebuilt
// from its journal.
type Automaton struct {
	plan  *Plan
	nodes []*node // as requested
	names map[string]*node
	sets  []*set  // with nodes under way
	runs  []*run  // not over
	tasks []*task // issued, with nodes that have not answered

	started                    time.Time // zero before Begin
	now, before                time.Time // of this Step, and of the last one
	fetching                   bool      // the image is not here: no broadcast starts
	here                       time.Time // since when the image is, if it was fetching
	patience                   time.Time // when nodes that wait go ahead without the others; zero: never
	lastTask, lastSet, lastRun int
	out                        Outcome
	ended                      bool
}

// phase is where a node is within its position.
type phase int

const (
	idle    phase = iota // before Begin                 → ready, over
	ready                // may enter its micro-step     → running, held, over
	running              // in a task                    → ready, failing, over
	failing              // failed, not yet decided upon → ready, over
	held                 // done with a non-raisable instance, waits for the others → ready, over
	over                 // has its verdict
)

// node is one machine under way.
type node struct {
	name  string
	phase phase
	set   *set

	entered      *set   // in which it entered its macro-step: retries split off from it
	enteredLabel string // of that set, then

	macro, instance, attempt, micro int // position: indexes into the plan, and tries
	microTry                        int

	run   *run
	task  *task
	ready time.Time // since when it could enter its micro-step

	// The clock of the instance: deadline while it runs, left while it is
	// paused because the node waits for others. Zero deadline: paused or no limit.
	deadline time.Time
	left     time.Duration

	reason  string // of the last failure
	verdict Verdict
}

// task is a micro-step that was ordered and not answered by all of its nodes.
type task struct {
	id       int
	run      *run
	micro    int
	nodes    []*node
	deadline time.Time // zero: none
	own      bool      // the deadline is the micro-step's, not the instance's
	command  Run       // by which it was ordered
}

// ownGrace is how long after its own limit a micro-step is killed: it should
// have given up by itself, with a better reason.
const ownGrace = 5 * time.Second

// NewAutomaton puts nodes at the start of a plan. Nothing moves before Begin.
func NewAutomaton(plan *Plan, nodes []string) *Automaton {
	a := &Automaton{plan: plan, names: make(map[string]*node, len(nodes))}
	for _, name := range nodes {
		n := &node{name: name}
		a.nodes = append(a.nodes, n)
		a.names[name] = n
	}
	return a
}

// Ended tells whether every node has its verdict.
func (a *Automaton) Ended() bool { return a.ended }

// Fetching tells whether a broadcast would have to wait for the image.
func (a *Automaton) Fetching() bool { return a.fetching && !a.ended }

// Deadline is the next moment at which Step must be called even without an
// event; zero if there is none.
func (a *Automaton) Deadline() time.Time {
	first := a.patience
	for _, t := range a.tasks {
		if !t.deadline.IsZero() && (first.IsZero() || t.deadline.Before(first)) {
			first = t.deadline
		}
	}
	return first
}

// Step tells the automaton the time and what happened, and moves every node as
// far as it can go. Time limits that have passed count after the events: a node
// that answered in time passed. An event that cannot be meant is an error, and
// nothing is changed then.
func (a *Automaton) Step(now time.Time, events ...Event) (Outcome, error) {
	for _, e := range events {
		if err := a.check(e); err != nil {
			return Outcome{}, err
		}
	}
	if a.ended {
		return Outcome{}, nil // late answers of killed tasks
	}
	a.out = Outcome{}
	a.before, a.now = a.now, now
	for _, e := range events {
		a.apply(e)
	}
	if !a.started.IsZero() {
		a.expire()
		a.advance()
	}
	out := a.out
	a.out = Outcome{}
	return out, nil
}

func (a *Automaton) check(e Event) error {
	switch e.Kind {
	case Passed, Failed:
		if a.names[e.Node] == nil {
			return fmt.Errorf("event %s: unknown node %q", e.Kind, e.Node)
		}
		if e.Task < 1 || e.Task > a.lastTask {
			return fmt.Errorf("event %s of node %s: task %d was never ordered", e.Kind, e.Node, e.Task)
		}
	case Begin:
		if !a.started.IsZero() {
			return fmt.Errorf("event begin: already begun")
		}
		for _, name := range e.Refused {
			if a.names[name] == nil {
				return fmt.Errorf("event begin: unknown node %q", name)
			}
		}
	case Resume:
		if a.started.IsZero() {
			return fmt.Errorf("event resume: not begun")
		}
	case Cancel, Fail, Fetched:
	default:
		return fmt.Errorf("unknown event %q", e.Kind)
	}
	return nil
}

func (a *Automaton) apply(e Event) {
	switch e.Kind {
	case Begin:
		a.begin(e)
	case Passed:
		if n := a.answering(e); n != nil {
			a.pass(n)
		}
	case Failed:
		if n := a.answering(e); n != nil {
			a.fail([]*node{n}, e.Reason, true)
		}
	case Fetched:
		a.fetching, a.here = false, a.now
	case Cancel:
		a.halt(VerdictAborted, e.Reason)
	case Fail:
		a.halt(VerdictKO, e.Reason)
	case Resume:
		a.resumeAll()
	}
}

// answering is the node that an event speaks of, nil if it no longer is in that
// task: it was killed meanwhile, or answers twice.
func (a *Automaton) answering(e Event) *node {
	n := a.names[e.Node]
	if n.phase != running || n.task.id != e.Task {
		return nil
	}
	return n
}

func (a *Automaton) begin(e Event) {
	a.started, a.fetching = a.now, e.Fetching
	root := &set{}
	var refused, launched []*node
	for _, n := range a.nodes {
		if slices.Contains(e.Refused, n.name) {
			refused = append(refused, n)
			continue
		}
		launched = append(launched, n)
	}
	a.say(Launched{Nodes: names(launched), Refused: names(refused)})
	a.judge(refused, VerdictRefused, e.Reason)
	if len(launched) > 0 {
		a.sets = append(a.sets, root)
	}
	for _, n := range launched {
		a.join(n, root)
		first := 0
		if slices.Contains(a.plan.Ready, n.name) {
			first = 1
		}
		a.enterMacro(n, first)
	}
}

// halt gives all nodes under way the same verdict, at once.
func (a *Automaton) halt(v Verdict, reason string) {
	for _, t := range a.tasks {
		a.out.Commands = append(a.out.Commands, Kill{Task: t.id})
	}
	a.tasks = nil
	if a.started.IsZero() {
		a.started = a.now
	}
	for _, n := range a.nodes {
		if n.phase != over {
			n.task = nil
			n.reason = reason
			a.judge([]*node{n}, v, reason)
		}
	}
}

// leaveTask takes a node out of its task, and forgets the task with its last node.
func (a *Automaton) leaveTask(n *node) {
	t := n.task
	n.task = nil
	t.nodes = slices.DeleteFunc(t.nodes, func(m *node) bool { return m == n })
	if len(t.nodes) == 0 {
		a.tasks = slices.DeleteFunc(a.tasks, func(u *task) bool { return u == t })
	}
}

func (a *Automaton) pass(n *node) {
	a.say(Left{Run: n.run.info(a), Micro: a.micro(n).Name, Task: n.task.id, Nodes: []string{n.name}})
	a.leaveTask(n)
	n.phase, n.ready = ready, a.now
	n.micro, n.microTry = n.micro+1, 0
}

// fail notes that nodes of one task failed for one reason. What becomes of them
// is decided when all events were heard. again allows another try of the micro-step alone.
func (a *Automaton) fail(nodes []*node, reason string, again bool) {
	first := nodes[0]
	micro := a.micro(first)
	note := NodesFailed{Run: first.run.info(a), Micro: micro.Name, Task: first.task.id, Nodes: names(nodes), Reason: reason}
	for _, n := range nodes {
		a.leaveTask(n)
		n.reason = reason
		if again && n.microTry < micro.Retries && !n.late(a.now) {
			n.microTry++
			n.phase, n.ready = ready, a.now
			note.Again = true
			continue
		}
		n.phase = failing
	}
	a.say(note)
}

// expire kills the tasks whose deadline has passed.
func (a *Automaton) expire() {
	for _, t := range slices.Clone(a.tasks) {
		if t.deadline.IsZero() || t.deadline.After(a.now) {
			continue
		}
		step := a.plan.Macros[t.run.macro].Instances[t.run.instance].Name
		if t.own {
			step = a.micro(t.nodes[0]).Name
		}
		a.out.Commands = append(a.out.Commands, Kill{Task: t.id})
		a.say(TimedOut{Run: t.run.info(a), Step: step, Nodes: names(t.nodes)})
		nodes := slices.Clone(t.nodes)
		for len(nodes) > 0 { // nodes with and without a try left are told apart
			same := func(n *node) bool { return n.microTry == nodes[0].microTry }
			a.fail(filter(nodes, same), timeout(step), t.own)
			nodes = filter(nodes, func(n *node) bool { return n.phase == running })
		}
	}
}

// timeout is the reason of nodes that had no more time (contract 1.8).
func timeout(step string) string { return fmt.Sprintf("Timeout in the %s step", step) }

func (a *Automaton) say(n Notice) { a.out.Notices = append(a.out.Notices, n) }

func (a *Automaton) at(n *node) *Instance { return &a.plan.Macros[n.macro].Instances[n.instance] }
func (a *Automaton) micro(n *node) *Micro { return &a.at(n).Micros[n.micro] }

func names(nodes []*node) []string {
	list := make([]string, len(nodes))
	for i, n := range nodes {
		list[i] = n.name
	}
	return list
}

func filter(nodes []*node, keep func(*node) bool) []*node {
	var list []*node
	for _, n := range nodes {
		if keep(n) {
			list = append(list, n)
		}
	}
	return list
}
