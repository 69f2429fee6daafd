package engine

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"kadeploy/coordinator/internal/nodeset"
	"kadeploy/coordinator/internal/workflow"
)

// printer turns what happens in one cluster into the text of contract 1.8.
//
// Nodes walk alone, so a fast one may be in a macro-step before a slow one has
// left the previous one. The text stays in order all the same: lines of a run are
// held back until the run before it has ended.
type printer struct {
	flow    *flow
	cluster string
	name    string // of the cluster in prefixes; empty if there is only one cluster
	runs    map[int]*textRun
}

// textRun is a run that has not ended, or whose lines are held back.
type textRun struct {
	after int
	ended bool
	held  []func()
}

func newPrinter(f *flow, p *part) *printer {
	t := &printer{flow: f, cluster: p.cluster.Name, runs: make(map[int]*textRun)}
	if len(f.req.Clusters) > 1 {
		t.name = clusterPrefix(p)
	}
	return t
}

func clusterPrefix(p *part) string {
	if p.cluster.Prefix != "" {
		return p.cluster.Prefix
	}
	return p.cluster.Name
}

func fold(nodes []string) string { return nodeset.Fold(nodes) }

// seconds is how durations are shown.
func seconds(d time.Duration) string { return fmt.Sprintf("%ds", int(d.Round(time.Second).Seconds())) }

// titles name a kind of workflow in its text.
func (f *flow) titles() (step, operation string) {
	switch f.req.Kind {
	case workflow.Reboot:
		return "Reboot", "reboot operation"
	case workflow.Power:
		return "Power", "power operation"
	}
	return "Deploy", "deployment"
}

// prefix stands before the lines of a set.
func (t *printer) prefix(set string) string {
	switch {
	case t.name == "" && set == "":
		return ""
	case t.name == "":
		return "[" + set + "] "
	case set == "":
		return "[" + t.name + "] "
	}
	return "[" + t.name + "." + set + "] "
}

// number names a set in a split block, where the root is 0.
func (t *printer) number(set string) string {
	if t.name == "" {
		return "[" + set + "]"
	}
	return "[" + t.name + "." + set + "]"
}

// line writes a line of a set; a text of several lines becomes several.
func (t *printer) line(set string, level int, text string) {
	for l := range strings.SplitSeq(text, "\n") {
		t.flow.line(t.cluster, level, t.prefix(set)+l)
	}
}

// say writes a line of a run when it is its turn.
func (t *printer) say(r workflow.RunInfo, level int, text string) {
	run := t.run(r)
	if t.blocked(run) {
		run.held = append(run.held, func() { t.line(r.Set, level, text) })
		return
	}
	t.line(r.Set, level, text)
}

func (t *printer) run(r workflow.RunInfo) *textRun {
	run := t.runs[r.ID]
	if run == nil {
		run = &textRun{after: r.After}
		t.runs[r.ID] = run
	}
	return run
}

// blocked tells whether the run before has lines to come.
func (t *printer) blocked(r *textRun) bool {
	before := t.runs[r.after]
	return before != nil && (!before.ended || len(before.held) > 0 || t.blocked(before))
}

// release writes what is no longer held back; all of it at the end.
func (t *printer) release(all bool) {
	for again := true; again; {
		again = false
		ids := make([]int, 0, len(t.runs))
		for id := range t.runs {
			ids = append(ids, id)
		}
		slices.Sort(ids)
		for _, id := range ids {
			r := t.runs[id]
			if !all && t.blocked(r) {
				continue
			}
			for _, line := range r.held {
				line()
			}
			again = again || len(r.held) > 0 && !all
			r.held = nil
		}
	}
	for id, r := range t.runs {
		if r.ended && !t.blocked(r) {
			delete(t.runs, id)
		}
	}
}

// note is a line that a step has to tell. At level 0 it stands alone, above it is an item.
// After the end of its run it still comes.
func (t *printer) note(r workflow.RunInfo, level int, text string) {
	if level > 0 {
		text = "   * " + text
	}
	if t.runs[r.ID] == nil {
		t.line(r.Set, level, text)
		return
	}
	t.say(r, level, text)
}

// tell writes what the automaton noticed in one step.
func (t *printer) tell(notices []workflow.Notice) {
	step, operation := t.flow.titles()
	for _, n := range merge(notices) {
		switch n := n.(type) {
		case workflow.Launched:
			if len(n.Nodes) > 0 {
				t.line("", 0, fmt.Sprintf("Launching a %s on %s", operation, fold(n.Nodes)))
			}
		case workflow.Resumed:
			t.line("", 0, fmt.Sprintf("The coordinator was restarted; the %s goes on after %s", operation, seconds(n.Away)))
		case workflow.MacroStarted:
			t.say(n.Run, 1, fmt.Sprintf("Performing a %s[%s] step", step, n.Run.Instance))
			for _, name := range n.Bypassed {
				t.say(n.Run, 5, fmt.Sprintf("   * The step %s is bypassed", name))
			}
		case workflow.MacroEnded:
			t.say(n.Run, 1, fmt.Sprintf("End of step %s[%s] after %s", step, n.Run.Instance, seconds(n.Elapsed)))
			t.run(n.Run).ended = true
			t.release(false)
		case workflow.MicroStarted:
			t.say(n.Run, 3, "  "+n.Micro)
		case workflow.MicroEnded:
			t.say(n.Run, 4, fmt.Sprintf("   ~ Time in %s: %s", n.Micro, seconds(n.Elapsed)))
		case workflow.Entered:
			t.say(n.Run, 5, fmt.Sprintf("   * %s enter %s", fold(n.Nodes), n.Micro))
		case workflow.TimedOut:
			t.say(n.Run, 1, fmt.Sprintf("Timeout in the %s step, let's kill the instance", n.Step))
		case workflow.NodesFailed:
			t.failed(n)
		case failedTogether:
			t.say(n.run, 2, fmt.Sprintf("!!! The nodes %s failed on step %s", fold(n.nodes), n.step))
		case workflow.Reached:
			t.say(n.Run, 2, fmt.Sprintf("*** Breakpoint on %s reached for %s", n.Step, fold(n.Nodes)))
		case workflow.Split:
			t.split(n)
		case workflow.SetEnded:
			t.release(true)
			t.line(n.Set, 0, fmt.Sprintf("End of %s for %s after %s", operation, fold(n.Nodes), seconds(n.Elapsed)))
		case workflow.Ended:
			t.release(true)
			if n.Failed > 0 {
				t.line("", 1, fmt.Sprintf("!!! %d of %d nodes failed", n.Failed, n.Total))
			}
			t.line("", 0, fmt.Sprintf("End of %s on cluster %s after %s", operation, t.cluster, seconds(n.Elapsed)))
		}
	}
}

func (t *printer) failed(n workflow.NodesFailed) {
	first, rest, more := strings.Cut(n.Reason, "\n")
	text := fmt.Sprintf("Error[%s] %s: %s", n.Micro, fold(n.Nodes), first)
	if more {
		text += "\n    " + strings.ReplaceAll(rest, "\n", "\n    ")
	}
	t.say(n.Run, 0, text)
	if n.Again {
		t.say(n.Run, 3, "   * Trying again")
	}
}

func (t *printer) split(n workflow.Split) {
	t.flow.line(t.cluster, 1, "---")
	t.flow.line(t.cluster, 1, fmt.Sprintf("Nodeset %s split into :", t.number(n.Set)))
	for _, s := range n.Into {
		t.flow.line(t.cluster, 1, fmt.Sprintf("  %s %s", t.number(s.Set), fold(s.Nodes)))
	}
	t.flow.line(t.cluster, 1, "---")
}

// failedTogether: nodes failed in one micro-step, for whatever reasons.
type failedTogether struct {
	workflow.Notice
	run   workflow.RunInfo
	step  string
	nodes []string
}

// merge joins notices of the same step of the automaton that tell of different
// nodes what can be told of all of them at once, at the place of the first.
func merge(notices []workflow.Notice) []workflow.Notice {
	type key struct {
		kind         string
		run          int
		step, reason string
	}
	at := make(map[key]int)
	var out []workflow.Notice
	for _, n := range notices {
		switch n := n.(type) {
		case workflow.NodesFailed:
			step := n.Run.Instance + "-" + n.Micro
			k := key{"failed", n.Run.ID, step, ""}
			if i, ok := at[k]; ok {
				together := out[i].(failedTogether)
				together.nodes = append(together.nodes, n.Nodes...)
				out[i] = together
			} else {
				at[k] = len(out)
				out = append(out, failedTogether{run: n.Run, step: step, nodes: slices.Clone(n.Nodes)})
			}
			k = key{"reason", n.Run.ID, step, fmt.Sprint(n.Again, n.Reason)}
			if i, ok := at[k]; ok {
				same := out[i].(workflow.NodesFailed)
				same.Nodes = append(slices.Clone(same.Nodes), n.Nodes...)
				out[i] = same
				continue
			}
			at[k] = len(out)
			out = append(out, n)
		case workflow.Reached:
			k := key{"reached", n.Run.ID, n.Step, ""}
			if i, ok := at[k]; ok {
				same := out[i].(workflow.Reached)
				same.Nodes = append(slices.Clone(same.Nodes), n.Nodes...)
				out[i] = same
				continue
			}
			at[k] = len(out)
			out = append(out, n)
		case workflow.TimedOut:
			k := key{"timeout", n.Run.ID, n.Step, ""}
			if _, ok := at[k]; ok {
				continue
			}
			at[k] = len(out)
			out = append(out, n)
		default:
			out = append(out, n)
		}
	}
	return out
}

// line adds a line to the workflow's text if the user wants that level. f.mu is held.
func (f *flow) line(cluster string, level int, text string) {
	if level > f.req.Verbosity {
		return
	}
	now := f.moment
	if now.IsZero() {
		now = time.Now()
	}
	for l := range strings.SplitSeq(text, "\n") {
		line := f.log.add(now, cluster, l)
		f.events = append(f.events, Event{Workflow: f.req.ID, Type: EventLine, Text: l, Time: line.Time})
	}
}

// overview begins the text of a workflow on several clusters.
func (f *flow) overview() {
	if len(f.parts) < 2 {
		return
	}
	f.line("", 0, "---")
	for _, p := range f.parts {
		f.line("", 0, fmt.Sprintf("[%s] : %s", clusterPrefix(p), p.cluster.Name))
	}
	f.line("", 0, "---")
}
