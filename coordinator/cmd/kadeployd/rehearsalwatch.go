package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"syscall"
	"time"

	"kadeploy/coordinator/internal/client"
	"kadeploy/coordinator/internal/workflow"
)

// rehearsalWatcher shows who is where while the deployment runs.
type rehearsalWatcher struct {
	out     io.Writer
	verbose bool
	nodes   int
	began   time.Time
	shown   string
}

func newRehearsalWatcher(out io.Writer, verbose bool, nodes int) *rehearsalWatcher {
	return &rehearsalWatcher{out: out, verbose: verbose, nodes: nodes, began: time.Now()}
}

func (w *rehearsalWatcher) Line(l workflow.Line) {
	if w.verbose {
		fmt.Fprintln(w.out, l.Text)
	}
}

func (*rehearsalWatcher) Debug(workflow.Line)                          {}
func (*rehearsalWatcher) WantsProgress() bool                          { return true }
func (*rehearsalWatcher) Status([]client.ClusterStatus, time.Duration) {}

// Progress prints a line when something has changed.
func (w *rehearsalWatcher) Progress(l workflow.Live) {
	var parts []string
	for _, m := range l.Macros {
		part := fmt.Sprintf("%s %d", m.Name, m.Done)
		micros := make([]string, 0, len(m.Running))
		for micro, n := range m.Running {
			micros = append(micros, fmt.Sprintf("%s %d", micro, n))
		}
		slices.Sort(micros)
		if len(micros) > 0 {
			part += " (" + strings.Join(micros, ", ") + ")"
		}
		parts = append(parts, part)
	}
	text := strings.Join(parts, " | ")
	if len(l.Failed) > 0 {
		text += fmt.Sprintf(" | failed %d", len(l.Failed))
	}
	if text == w.shown {
		return
	}
	w.shown = text
	fmt.Fprintf(w.out, "%6.1fs  %s\n", time.Since(w.began).Seconds(), text)
}

// last is where the nodes were when it was looked last.
func (w *rehearsalWatcher) last() string {
	if w.shown == "" {
		return ""
	}
	return "; the nodes: " + w.shown
}

// cpuSeconds is the time that this process has computed.
func cpuSeconds() float64 {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()).Seconds()
}
