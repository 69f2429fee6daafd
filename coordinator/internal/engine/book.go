package engine

import (
	"fmt"
	"strings"
	"time"

	"kadeploy/coordinator/internal/workflow"
)

// book is what is known of each node of a workflow. It is written from the
// automata's notices and read by whoever asks; the flow's mu guards it.
type book struct {
	order    []string // nodes, as requested
	nodes    map[string]*entry
	macros   []*macroEntry
	spans    []workflow.Span
	progress *workflow.Progress
	left     func(workflow.Span) // a stay has ended
}

// entry is one node.
type entry struct {
	part     *part
	macro    int    // index into book.macros
	instance string // where it is, or where it ended
	micro    string
	entered  time.Time // its micro-step
	running  bool      // in a micro-step
	state    string    // contract 4.10
	verdict  workflow.Verdict
	err      string
	out      string // end of the last output of a command on it
	printing string // of one that still runs
	span     int    // index of its open span
	passed   []passage
	stages   []stage // by macro-step
}

// passage is a micro-step that a node has behind it.
type passage struct {
	instance, micro string
	failed          bool
	took            time.Duration
}

// macroEntry is one macro-step.
type macroEntry struct {
	name           string
	started, ended time.Time
}

func newBook(parts []*part) *book {
	b := &book{nodes: make(map[string]*entry)}
	for _, p := range parts {
		for _, n := range p.nodes {
			b.order = append(b.order, n)
			b.nodes[n] = &entry{part: p, span: -1, stages: make([]stage, len(p.plan.Macros))}
		}
		for i, m := range p.plan.Macros { // all clusters have the same macro-steps
			if i == len(b.macros) {
				b.macros = append(b.macros, &macroEntry{name: m.Name})
			}
		}
	}
	return b
}

func (b *book) macro(name string) int {
	for i, m := range b.macros {
		if m.name == name {
			return i
		}
	}
	return 0
}

// note writes down what happened and returns the nodes that it happened to.
func (b *book) note(p *part, now time.Time, n workflow.Notice) []string {
	switch n := n.(type) {
	case workflow.Entered:
		b.entered(p, now, n)
		return n.Nodes
	case workflow.Left:
		for _, name := range n.Nodes {
			b.leave(b.nodes[name], now, "")
		}
		return n.Nodes
	case workflow.NodesFailed:
		for _, name := range n.Nodes {
			b.leave(b.nodes[name], now, n.Reason)
		}
		return n.Nodes
	case workflow.Judged:
		for _, name := range n.Nodes {
			b.judge(name, now, n)
		}
		return n.Nodes
	}
	return nil
}

func (b *book) entered(p *part, now time.Time, n workflow.Entered) {
	m := b.macro(n.Run.Macro)
	if b.macros[m].started.IsZero() {
		b.macros[m].started = now
	}
	for i, name := range n.Nodes {
		e := b.nodes[name]
		if e.macro < m {
			b.done(e.macro, now)
		}
		e.macro, e.instance, e.micro, e.entered, e.running = m, n.Run.Instance, n.Micro, now, true
		e.stages[m].enter(n.Run, now)
		if n.Micro == workflow.WaitReboot {
			e.state = "reboot_in_progress"
		}
		e.span = len(b.spans)
		b.spans = append(b.spans, workflow.Span{
			Node: name, Cluster: p.cluster.Name, Macro: n.Run.Macro, Instance: n.Run.Instance, Micro: n.Micro,
			Attempt: n.Run.Attempt, Queued: n.Ready[i], Started: now,
		})
	}
}

func (b *book) done(macro int, now time.Time) { b.macros[macro].ended = now }

// leave ends a node's stay in its micro-step, if it is in one.
func (b *book) leave(e *entry, now time.Time, failure string) {
	if e.span < 0 {
		return
	}
	s := &b.spans[e.span]
	s.Ended, s.Error = now, failure
	e.stages[e.macro].ended = now
	b.left(*s)
	e.span, e.running = -1, false
	e.passed = append(e.passed, passage{e.instance, e.micro, failure != "", now.Sub(e.entered)})
	if e.micro == workflow.WaitReboot && failure == "" {
		e.state = "rebooted"
	}
}

// begun notes that nodes left the queue of their micro-step. Of several queues,
// as when a reboot is tried again at a higher level, the first one counts.
func (b *book) begun(now time.Time, micro string, nodes []string) {
	for _, name := range nodes {
		e := b.nodes[name]
		if e == nil || e.span < 0 || e.micro != micro {
			continue // given up meanwhile
		}
		if s := &b.spans[e.span]; s.Begun.IsZero() {
			s.Begun = now
		}
	}
}

// cancelled is why nodes fail whose operation somebody ended.
const cancelled = "the operation was cancelled"

func (b *book) judge(name string, now time.Time, j workflow.Judged) {
	e := b.nodes[name]
	reason := j.Reason
	if j.Verdict == workflow.VerdictAborted && reason == "" {
		reason = cancelled
	}
	b.leave(e, now, reason)
	e.verdict, e.state = j.Verdict, string(j.Verdict)
	b.done(e.macro, now)
	switch j.Verdict {
	case workflow.VerdictOK:
		e.instance, e.micro = "", ""
	case workflow.VerdictRefused:
		e.err = fmt.Sprintf("node %s is already involved in another deployment", name)
	default:
		e.instance, e.micro = j.Instance, j.Micro
		if !j.Verdict.Success() {
			e.err = nodeError(j.Instance, j.Micro, reason)
		}
	}
}

// nodeError is a failed node's error, on one line: clients print it behind the
// node's name (contract 1.8).
func nodeError(instance, micro, reason string) string {
	var lines []string
	for l := range strings.SplitSeq(reason, "\n") {
		if l = strings.TrimSpace(l); l != "" {
			lines = append(lines, l)
		}
	}
	text := strings.Join(lines, "; ")
	switch {
	case instance == "":
		return text
	case micro == "":
		return instance + ": " + text
	}
	return instance + "-" + micro + ": " + text
}
