package workflow

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"
)

// resumeAll orders every task again, for the nodes that have not answered. The time
// from the last transition to now was not theirs: all clocks stood still.
func (a *Automaton) resumeAll() {
	away := max(a.now.Sub(a.before), 0)
	later := func(t time.Time) time.Time {
		if t.IsZero() {
			return t
		}
		return t.Add(away)
	}
	for _, n := range a.nodes {
		n.deadline = later(n.deadline)
	}
	a.here = a.now
	a.say(Resumed{Away: away})
	for _, t := range a.tasks {
		t.deadline = later(t.deadline)
		again := t.command
		again.Nodes, again.Deadline, again.Again = names(t.nodes), t.deadline, true
		a.out.Commands = append(a.out.Commands, again)
	}
}

// Sum identifies what a plan does: a journal can only be followed with the plan that
// it was written with.
func (p *Plan) Sum() string {
	h := sha256.New()
	for _, m := range p.Macros {
		fmt.Fprintf(h, "%s\n", m.Name)
		for _, in := range m.Instances {
			fmt.Fprintf(h, " %s %d %d %t %t\n", in.Name, in.Retries, in.Timeout, in.Raisable, in.Breakpoint)
			for _, s := range in.Micros {
				fmt.Fprintf(h, "  %s %s %d %d %d %t %t\n", s.Name, s.Argument, s.Limit, s.Expected, s.Retries, s.Raisable, s.Breakpoint)
			}
		}
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}
