package workflow

import (
	"slices"
	"time"
)

// run is one attempt of an instance by a set.
type run struct {
	id, after                int
	set                      *set
	macro, instance, attempt int
	started                  time.Time   // of the first micro-step
	micros                   []time.Time // start of each micro-step that was entered
	closed                   int         // micro-steps that are over for all
}

func (r *run) info(a *Automaton) RunInfo {
	m := a.plan.Macros[r.macro]
	return RunInfo{ID: r.id, After: r.after, Set: r.set.label, Macro: m.Name, Instance: m.Instances[r.instance].Name, Attempt: r.attempt}
}

// advance moves every node as far as it can go without an answer from outside.
func (a *Automaton) advance() {
	for {
		a.decide()
		moved := a.release()
		moved = a.partWays() || moved
		if a.start() || moved {
			continue
		}
		break
	}
	a.closeSets()
}

func (a *Automaton) enterMacro(n *node, macro int) {
	if macro == len(a.plan.Macros) {
		a.judge([]*node{n}, VerdictOK, "")
		return
	}
	n.macro, n.instance, n.attempt = macro, 0, 0
	n.entered, n.enteredLabel = n.set, n.set.label
	a.enterInstance(n)
}

func (a *Automaton) enterInstance(n *node) {
	previous := n.run
	n.phase, n.ready, n.micro, n.microTry = ready, a.now, 0, 0
	n.left = a.at(n).Timeout
	n.deadline = time.Time{}
	if n.left > 0 {
		n.deadline = a.now.Add(n.left)
	}
	n.run = a.runOf(n, previous)
}

// runOf is the run that the node's set makes of its attempt.
func (a *Automaton) runOf(n *node, previous *run) *run {
	for _, r := range a.runs {
		if r.set == n.set && (target{r.macro, r.instance, r.attempt}) == n.place() {
			return r
		}
	}
	a.lastRun++
	r := &run{
		id: a.lastRun, set: n.set, macro: n.macro, instance: n.instance, attempt: n.attempt,
		micros: make([]time.Time, len(a.at(n).Micros)),
	}
	if previous != nil && previous.macro < r.macro {
		r.after = previous.id
	}
	a.runs = append(a.runs, r)
	return r
}

// start lets ready nodes enter what is next for them; those that enter the same
// micro-step at the same time do it in one task. moved tells whether a node went
// on without a task, so that others may be able to.
func (a *Automaton) start() (moved bool) {
	var batches []*task
	together := make(map[gathering]bool) // what gathered says, until a node moves; then it is looked again
	for _, n := range a.nodes {
		if n.phase != ready {
			continue
		}
		in := a.at(n)
		switch {
		case n.micro == 0 && n.microTry == 0 && in.Breakpoint:
			a.reach(n, in.Name)
			moved = true
		case n.micro == len(in.Micros):
			a.finishInstance(n)
			moved = true
		case in.Micros[n.micro].Breakpoint:
			a.reach(n, in.Name+"-"+in.Micros[n.micro].shown())
			moved = true
		case n.late(a.now):
			a.tooLate(n)
			moved = true
		case !a.gatheredIn(together, n):
			a.pause(n)
		default:
			a.resume(n)
			batches = enlist(batches, n, in.Micros[n.micro].Collective())
		}
	}
	if moved {
		return true // a verdict may complete a gathering: look again before anything starts
	}
	a.closeRuns() // what ends is told before what starts
	for _, t := range batches {
		a.order(t)
	}
	return false
}

// gathering is what gathered depends on, beside where the others are.
type gathering struct {
	set, entered *set
	at           target
	micro        int
}

// gatheredIn is gathered, asked once for all nodes that are at one place: thousands that
// wait for the last of them are not each compared with all.
func (a *Automaton) gatheredIn(known map[gathering]bool, n *node) bool {
	key := gathering{n.set, n.entered, n.place(), n.micro}
	yes, asked := known[key]
	if !asked {
		yes = a.gathered(n)
		known[key] = yes
	}
	return yes
}

// enlist adds a node to the task of its run, micro-step and deadline. A
// collective task has one deadline, the latest of its nodes'.
func enlist(batches []*task, n *node, collective bool) []*task {
	for _, t := range batches {
		if t.run == n.run && t.micro == n.micro && (collective || t.deadline.Equal(n.deadline)) {
			t.nodes = append(t.nodes, n)
			if n.deadline.After(t.deadline) {
				t.deadline = n.deadline
			}
			return batches
		}
	}
	return append(batches, &task{run: n.run, micro: n.micro, nodes: []*node{n}, deadline: n.deadline})
}

// order starts a task.
func (a *Automaton) order(t *task) {
	micro := a.micro(t.nodes[0])
	a.lastTask++
	t.id = a.lastTask
	a.tasks = append(a.tasks, t)
	entered := Entered{Run: t.run.info(a), Micro: micro.Name, Task: t.id, Nodes: names(t.nodes)}
	for _, n := range t.nodes {
		n.phase, n.task, n.deadline = running, t, t.deadline
		entered.Ready = append(entered.Ready, n.ready)
	}
	if micro.Limit > 0 {
		if own := a.now.Add(micro.Limit + ownGrace); t.deadline.IsZero() || own.Before(t.deadline) {
			t.deadline, t.own = own, true
		}
	}
	a.open(t.run)
	if t.run.micros[t.micro].IsZero() {
		t.run.micros[t.micro] = a.now
		a.say(MicroStarted{Run: t.run.info(a), Micro: micro.Name})
	}
	a.say(entered)
	step := micro.MicroStep
	if step.Name == RebootNode && step.Argument == "soft" && t.run.attempt > 0 {
		step.Argument = "hard" // contract 4.4: retries do not try to be gentle again
	}
	t.command = Run{
		Task: t.id, Run: t.run.info(a), Micro: step, Op: micro.Op, Nodes: names(t.nodes), Limit: micro.Limit, Deadline: t.deadline,
	}
	a.out.Commands = append(a.out.Commands, t.command)
}

// open notes the start of a run.
func (a *Automaton) open(r *run) {
	if r.started.IsZero() {
		r.started = a.now
		a.say(MacroStarted{Run: r.info(a), Bypassed: a.plan.Macros[r.macro].Instances[r.instance].Bypassed})
	}
}

// pause stops the instance's clock of a node that waits for others.
func (a *Automaton) pause(n *node) {
	if !n.deadline.IsZero() {
		n.left = n.deadline.Sub(a.now)
		n.deadline = time.Time{}
	}
}

func (a *Automaton) resume(n *node) {
	if n.deadline.IsZero() && n.left > 0 {
		n.deadline = a.now.Add(n.left)
	}
}

// late tells whether the instance's time is over.
func (n *node) late(now time.Time) bool { return !n.deadline.IsZero() && !n.deadline.After(now) }

// tooLate: the last answer used up the instance's time, and there is more to do.
func (a *Automaton) tooLate(n *node) {
	step := a.at(n).Name
	a.say(TimedOut{Run: n.run.info(a), Step: step, Nodes: []string{n.name}})
	n.phase, n.reason = failing, timeout(step)
	a.say(NodesFailed{Run: n.run.info(a), Micro: a.micro(n).Name, Nodes: []string{n.name}, Reason: n.reason})
}

func (a *Automaton) reach(n *node, step string) {
	a.say(Reached{Run: n.run.info(a), Step: step, Nodes: []string{n.name}})
	a.judge([]*node{n}, VerdictBreak, "")
}

// finishInstance: the node is done with its macro-step.
func (a *Automaton) finishInstance(n *node) {
	a.open(n.run)
	if !a.at(n).Raisable {
		n.phase = held
		return
	}
	a.enterMacro(n, n.macro+1)
}

// judge ends the nodes' way.
func (a *Automaton) judge(nodes []*node, v Verdict, reason string) {
	if len(nodes) == 0 {
		return
	}
	j := Judged{Verdict: v, Nodes: names(nodes), Reason: reason}
	if n := nodes[0]; n.run != nil && v != VerdictOK {
		in := a.at(n)
		j.Instance = in.Name
		if n.micro < len(in.Micros) {
			j.Micro = in.Micros[n.micro].Name
		}
	}
	for _, n := range nodes {
		n.phase, n.verdict, n.task = over, v, nil
		if n.set != nil {
			a.leave(n)
			if v.Success() {
				n.set.good = append(n.set.good, n)
				n.set.goodAt = a.now
			}
		}
	}
	a.say(j)
	if !slices.ContainsFunc(a.nodes, func(n *node) bool { return n.phase != over }) {
		a.ended = true
	}
}

// closeRuns notes which micro-steps and runs the last node has left.
func (a *Automaton) closeRuns() {
	a.runs = slices.DeleteFunc(a.runs, func(r *run) bool {
		last := a.lastPlace(r)
		for r.closed < last {
			if !r.micros[r.closed].IsZero() {
				micro := a.plan.Macros[r.macro].Instances[r.instance].Micros[r.closed].Name
				a.say(MicroEnded{Run: r.info(a), Micro: micro, Elapsed: a.now.Sub(r.micros[r.closed])})
			}
			r.closed++
		}
		if last < len(r.micros) || a.occupied(r) {
			return false
		}
		if !r.started.IsZero() {
			a.say(MacroEnded{Run: r.info(a), Elapsed: a.now.Sub(r.started)})
		}
		return true
	})
}

// lastPlace is the micro-step of the run's last node, which closes those before it.
func (a *Automaton) lastPlace(r *run) int {
	last := len(r.micros)
	for _, n := range r.set.members {
		switch {
		case n.macro < r.macro:
			return 0
		case n.run == r && n.phase != held:
			last = min(last, n.micro)
		}
	}
	return last
}

// occupied tells whether a node is in the run or will come to it.
func (a *Automaton) occupied(r *run) bool {
	return slices.ContainsFunc(r.set.members, func(n *node) bool {
		return n.macro < r.macro || n.run == r && n.phase != held
	})
}

// closeSets notes which sets have no node under way any more.
func (a *Automaton) closeSets() {
	a.sets = slices.DeleteFunc(a.sets, func(s *set) bool {
		if len(s.members) > 0 || a.awaitedBack(s) {
			return false
		}
		if len(s.good) > 0 {
			a.say(SetEnded{Set: s.label, Nodes: names(s.good), Elapsed: s.goodAt.Sub(a.started)})
		}
		s.good = nil
		return true
	})
	if a.ended {
		failed := len(filter(a.nodes, func(n *node) bool { return !n.verdict.Success() }))
		a.say(Ended{Total: len(a.nodes), Failed: failed, Elapsed: a.now.Sub(a.started)})
	}
}

// awaitedBack tells whether nodes that split off from the set will come back to it.
func (a *Automaton) awaitedBack(s *set) bool {
	return slices.ContainsFunc(a.nodes, func(n *node) bool {
		return n.phase != over && n.entered == s && !a.at(n).Raisable
	})
}
