package main

import (
	"context"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"kadeploy/coordinator/internal/engine"
	"kadeploy/coordinator/internal/nodeset"
	"kadeploy/coordinator/internal/rehearse"
	"kadeploy/coordinator/internal/workflow"
)

// rehearsalReport is the object of --json (docs/rehearse.md). Times are in seconds, sizes in bytes.
type rehearsalReport struct {
	Good    bool    `json:"good"` // every list is right, and nothing is locked
	Nodes   int     `json:"nodes"`
	Image   int64   `json:"image_bytes"`
	Seed    uint64  `json:"seed"`
	Seconds float64 `json:"seconds"` // from the order to the end
	OK      int     `json:"ok"`
	KO      int     `json:"ko"`
	Faults  struct {
		Given  int `json:"given"`
		Struck int `json:"struck"` // those that the deployment came to, slow nodes not counted
	} `json:"faults"`
	*rehearse.Verdict
	Steps     []rehearsalStep `json:"steps"`
	Broadcast struct {
		Seconds float64 `json:"seconds"`
		Rate    float64 `json:"bytes_per_second"` // that all nodes together received
	} `json:"broadcast"`
	Daemon struct {
		Memory  int64   `json:"memory_peak_bytes"` // of the coordinator's process
		CPU     float64 `json:"cpu_seconds"`
		Journal struct {
			Writes  int     `json:"writes"`
			Records int     `json:"records"`
			Events  int     `json:"events"`
			Seconds float64 `json:"seconds"` // that the engine waited for them
		} `json:"journal"`
	} `json:"daemon"`
}

// rehearsalStep is one micro-step over all nodes.
type rehearsalStep struct {
	Macro    string  `json:"macro"`
	Instance string  `json:"instance"`
	Micro    string  `json:"micro"`
	Nodes    int     `json:"nodes"` // stays that ended
	Failed   int     `json:"failed"`
	Median   float64 `json:"median_seconds"`
	Longest  float64 `json:"longest_seconds"`
	Begin    float64 `json:"begin_seconds"` // of the first stay, after the order
	End      float64 `json:"end_seconds"`   // of the last
	lengths  []float64
}

func newRehearsalReport(o *rehearsalOptions) *rehearsalReport {
	return &rehearsalReport{Image: int64(o.image), Seed: o.seed, Steps: []rehearsalStep{}}
}

// resources notes what the coordinator has needed so far.
func (r *rehearsalReport) resources(j *watchedJournal) {
	r.Daemon.Memory = memoryPeak()
	r.Daemon.CPU = cpuSeconds()
	j.mu.Lock()
	defer j.mu.Unlock()
	d := &r.Daemon.Journal
	d.Writes, d.Records, d.Events, d.Seconds = j.writes, j.records, j.events, j.spent.Seconds()
}

func (r *rehearsalReport) conclude(names []string, faults map[string]rehearse.Fault, o rehearse.Observed, v *rehearse.Verdict) {
	r.Verdict, r.Good = v, v.Good()
	r.Nodes, r.OK, r.KO = len(names), len(o.OK), len(o.KO)
	r.Faults.Given, r.Faults.Struck = len(faults), len(o.Strikes)
	r.steps(o.Spans)
	for _, s := range r.Steps {
		if s.Micro == workflow.SendEnvironment {
			r.Broadcast.Seconds += s.End - s.Begin
			if s.End > s.Begin {
				r.Broadcast.Rate = max(r.Broadcast.Rate, float64(r.Image)*float64(s.Nodes-s.Failed)/(s.End-s.Begin))
			}
		}
	}
}

// steps puts together the stays of all nodes, in the order in which the steps began.
func (r *rehearsalReport) steps(spans []workflow.Span) {
	if len(spans) == 0 {
		return
	}
	began := spans[0].Queued
	for _, s := range spans {
		if s.Queued.Before(began) {
			began = s.Queued
		}
	}
	index := make(map[[2]string]int)
	for _, s := range spans {
		if s.Ended.IsZero() {
			continue
		}
		key := [2]string{s.Instance, s.Micro}
		i, known := index[key]
		if !known {
			i = len(r.Steps)
			index[key] = i
			r.Steps = append(r.Steps, rehearsalStep{Macro: s.Macro, Instance: s.Instance, Micro: s.Micro, Begin: math.Inf(1)})
		}
		step := &r.Steps[i]
		step.Nodes++
		if s.Error != "" {
			step.Failed++
		}
		step.Begin = min(step.Begin, s.Started.Sub(began).Seconds())
		step.End = max(step.End, s.Ended.Sub(began).Seconds())
		step.lengths = append(step.lengths, s.Ended.Sub(s.Started).Seconds())
	}
	for i := range r.Steps {
		s := &r.Steps[i]
		slices.Sort(s.lengths)
		s.Median, s.Longest = s.lengths[len(s.lengths)/2], s.lengths[len(s.lengths)-1]
	}
}

// write writes the report for people.
func (r *rehearsalReport) write(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%-26s %-26s %6s %6s %8s %8s %8s %8s\n", "INSTANCE", "STEP", "NODES", "FAILED", "MEDIAN", "LONGEST", "BEGIN", "END")
	for _, s := range r.Steps {
		fmt.Fprintf(&b, "%-26s %-26s %6d %6d %7.2fs %7.2fs %7.2fs %7.2fs\n", s.Instance, s.Micro, s.Nodes, s.Failed, s.Median, s.Longest, s.Begin, s.End)
	}
	fmt.Fprintf(&b, "\n%d nodes in %.1f s: %d ok, %d ko; image of %s to all in %.1f s, %.0f MiB/s in all\n",
		r.Nodes, r.Seconds, r.OK, r.KO, (*size)(&r.Image), r.Broadcast.Seconds, r.Broadcast.Rate/(1<<20))
	j := r.Daemon.Journal
	fmt.Fprintf(&b, "coordinator: %.0f MiB at most, %.1f s of CPU; journal: %d writes, %d transitions of nodes in %.2f s\n",
		float64(r.Daemon.Memory)/(1<<20), r.Daemon.CPU, j.Writes, j.Events, j.Seconds)
	for _, f := range r.Faulty {
		fmt.Fprintf(&b, "%s: %s, %s", f.Node, f.Fault, f.Result)
		switch {
		case f.Error != "":
			fmt.Fprintf(&b, " (%s)", f.Error)
		case f.Seen != "":
			fmt.Fprintf(&b, " after it failed in %s", f.Seen)
		}
		b.WriteString("\n")
	}
	if n := len(r.Recovered); n > 0 {
		fmt.Fprintf(&b, "%s without a fault failed at first and recovered: see whether limits are too tight\n", count(n, "node", "nodes"))
		for _, f := range r.Recovered[:min(n, 10)] {
			fmt.Fprintf(&b, "  %s in %s\n", f.Node, f.Seen)
		}
	}
	for _, f := range r.Wrong {
		fmt.Fprintf(&b, "WRONG: %s (%s) is %s: %s [%s]\n", f.Node, orWord(f.Fault, "no fault"), f.Result, f.Wrong, f.Error)
	}
	if len(r.Locked) > 0 {
		fmt.Fprintf(&b, "WRONG: still locked: %s\n", nodeset.Fold(r.Locked))
	}
	if r.Good {
		fmt.Fprintf(&b, "Every list is right: %s given, %d struck, nothing is stuck.\n", count(r.Faults.Given, "fault", "faults"), r.Faults.Struck)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func orWord(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}

// watchedJournal counts what goes through it.
type watchedJournal struct {
	engine.Journal

	mu                      sync.Mutex
	writes, records, events int
	spent                   time.Duration
}

func (j *watchedJournal) Append(ctx context.Context, records []workflow.Record) error {
	began := time.Now()
	err := j.Journal.Append(ctx, records)
	j.mu.Lock()
	defer j.mu.Unlock()
	j.writes++
	j.records += len(records)
	for _, r := range records {
		j.events += len(r.Events)
	}
	j.spent += time.Since(began)
	return err
}

// memoryPeak is the most that this process has had in memory, in bytes (VmHWM of proc_pid_status(5)).
func memoryPeak() int64 {
	data, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(data)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kib, _ := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 10, 64)
			return kib << 10
		}
	}
	return 0
}
