package workflow

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestProperties plays random events on random plans. Whatever happens, each
// node gets exactly one verdict, nobody is ordered to do something while he does something
// else or after he left, collective micro-steps are entered together, and the
// workflow ends.
func TestProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := &world{t: t, plan: drawPlan(t), now: epoch, task: make(map[string]int), verdict: make(map[string]Verdict)}
		for i := range rapid.IntRange(1, 6).Draw(t, "nodes") {
			w.names = append(w.names, fmt.Sprintf("n%d", i+1))
		}
		if rapid.Bool().Draw(t, "resumed") && len(w.plan.Macros) > 1 {
			w.plan.Ready = rapid.SliceOfDistinct(rapid.SampledFrom(w.names), rapid.ID).Draw(t, "ready")
		}
		w.a = NewAutomaton(w.plan, w.names)
		begin := Event{Kind: Begin}
		if rapid.Bool().Draw(t, "some refused") {
			begin.Refused = rapid.SliceOfDistinct(rapid.SampledFrom(w.names), rapid.ID).Draw(t, "refused")
		}
		begin.Fetching = rapid.Bool().Draw(t, "fetching")
		w.fetching = begin.Fetching
		w.step(begin)
		for steps := 0; !w.a.Ended(); steps++ {
			if steps > 5000 {
				t.Fatalf("no end after %d steps", steps)
			}
			w.random()
		}
		for _, n := range w.names {
			if w.verdict[n] == "" {
				t.Errorf("node %s has no verdict", n)
			}
		}
		if len(w.task) != 0 {
			t.Errorf("still in tasks: %v", w.task)
		}
		if !w.ended {
			t.Error("the end was not told")
		}
		w.replay()
	})
}

func drawPlan(t *rapid.T) *Plan {
	small := rapid.IntRange(0, 2)
	// rapid prefers small and extreme numbers: what shall be rare lies in the middle.
	rare := rapid.Custom(func(t *rapid.T) bool { return rapid.IntRange(0, 99).Draw(t, "rare")/3 == 17 })
	micros := rapid.SampledFrom([]string{RebootNode, WaitReboot, SendEnvironment, ManageUserPost, Sync})
	plan := &Plan{}
	for m := range rapid.IntRange(1, 3).Draw(t, "macros") {
		macro := Macro{Name: fmt.Sprintf("M%d", m)}
		for i := range rapid.IntRange(1, 2).Draw(t, "instances") {
			in := Instance{
				Name: fmt.Sprintf("M%d-%d", m, i), Retries: small.Draw(t, "retries"), Breakpoint: rare.Draw(t, "break"),
				Timeout: time.Duration(rapid.IntRange(0, 30).Draw(t, "timeout")) * time.Second, Raisable: rapid.Bool().Draw(t, "raisable"),
			}
			for range rapid.IntRange(0, 4).Draw(t, "micros") {
				in.Micros = append(in.Micros, Micro{
					MicroStep: MicroStep{Name: micros.Draw(t, "micro")}, Expected: time.Duration(small.Draw(t, "expected")*3) * time.Second, Retries: small.Draw(t, "again"), Breakpoint: rare.Draw(t, "break"),
					Limit: time.Duration(small.Draw(t, "limit")*5) * time.Second, Raisable: !rare.Draw(t, "micro barrier"),
				})
			}
			macro.Instances = append(macro.Instances, in)
		}
		plan.Macros = append(plan.Macros, macro)
	}
	return plan
}

// world drives one automaton and checks what it says.
type world struct {
	t        *rapid.T
	plan     *Plan
	a        *Automaton
	names    []string
	now      time.Time
	task     map[string]int // task of each node that is in one
	verdict  map[string]Verdict
	ended    bool
	fetching bool // the image is still to come
	journal  []Record
	said     []string
}

// random lets something happen: an answer, several, the passing of time, rarely the end of all.
func (w *world) random() {
	var busy []string
	for _, n := range w.names {
		if w.task[n] != 0 {
			busy = append(busy, n)
		}
	}
	if w.fetching && (len(busy) == 0 || rapid.IntRange(0, 9).Draw(w.t, "fetched") == 7) {
		w.fetching = false
		w.step(Event{Kind: Fetched})
		return
	}
	if len(busy) == 0 {
		w.t.Fatalf("nobody does anything, and it is not over")
	}
	switch what := rapid.IntRange(0, 999).Draw(w.t, "what"); {
	case what == 571:
		w.step(Event{Kind: Cancel})
	case what == 572:
		w.step(Event{Kind: Fail, Reason: "restarted"})
	case what < 5:
		w.now = w.now.Add(time.Duration(rapid.IntRange(1, 20).Draw(w.t, "seconds")) * time.Second)
		w.step()
	default:
		var events []Event
		for _, n := range rapid.SliceOfNDistinct(rapid.SampledFrom(busy), 1, len(busy), rapid.ID).Draw(w.t, "who") {
			e := Event{Kind: Passed, Task: w.task[n], Node: n}
			if rapid.IntRange(0, 2).Draw(w.t, "fails") == 0 {
				e.Kind, e.Reason = Failed, "bad luck"
			}
			events = append(events, e)
		}
		w.step(events...)
	}
}

func (w *world) step(events ...Event) {
	w.journal = append(w.journal, Record{At: w.now, Events: events})
	out, err := w.a.Step(w.now, events...)
	if err != nil {
		w.t.Fatalf("step %v: %v", events, err)
	}
	for _, e := range events {
		if e.Kind == Passed || e.Kind == Failed {
			delete(w.task, e.Node)
		}
	}
	for _, n := range out.Notices {
		w.said = append(w.said, describe(n))
		switch n := n.(type) {
		case Judged:
			for _, node := range n.Nodes {
				if v := w.verdict[node]; v != "" {
					w.t.Errorf("node %s has two verdicts: %s, %s", node, v, n.Verdict)
				}
				w.verdict[node] = n.Verdict
			}
		case Ended:
			w.ended = true
		}
	}
	for _, c := range out.Commands {
		switch c := c.(type) {
		case Kill:
			for n, id := range w.task {
				if id == c.Task {
					delete(w.task, n)
				}
			}
		case Run:
			w.ordered(c)
		}
	}
	if next := w.a.Deadline(); !next.IsZero() && !w.a.Ended() && !next.After(w.now) {
		w.t.Errorf("deadline %v is already over at %v", next, w.now)
	}
}

func (w *world) ordered(c Run) {
	for _, n := range c.Nodes {
		if w.task[n] != 0 {
			w.t.Errorf("node %s is ordered to do task %d while it is in task %d", n, c.Task, w.task[n])
		}
		if v := w.verdict[n]; v != "" {
			w.t.Errorf("node %s, %s, is ordered to do task %d", n, v, c.Task)
		}
		w.task[n] = c.Task
	}
	if w.fetching && c.Micro.Name == SendEnvironment {
		w.t.Errorf("task %d sends an image that is not there", c.Task)
	}
	if !c.Micro.Collective() {
		return
	}
	// Of the nodes in this set, none may be behind the ones that start together.
	first := w.a.names[c.Nodes[0]]
	for _, m := range first.set.members {
		if m.macro < first.macro || m.macro == first.macro && m.phase != held && m.micro < first.micro {
			w.t.Errorf("collective task %d of %v started while %s is behind", c.Task, c.Nodes, m.name)
		}
	}
}

// replay rebuilds the automaton from its journal: it says the same.
func (w *world) replay() {
	b := NewAutomaton(w.plan, w.names)
	var said []string
	for _, r := range w.journal {
		out, err := b.Step(r.At, r.Events...)
		if err != nil {
			w.t.Fatalf("replay %v: %v", r.Events, err)
		}
		for _, n := range out.Notices {
			said = append(said, describe(n))
		}
	}
	if !slices.Equal(said, w.said) || !b.Ended() {
		w.t.Errorf("a replay of the journal says something else")
	}
}
