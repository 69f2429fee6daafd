package timeline

import (
	"cmp"
	"slices"
	"time"

	"kadeploy/coordinator/internal/nodeset"
	"kadeploy/coordinator/internal/workflow"
)

// Chart is an operation over time: a row for each node.
type Chart struct {
	Begin, End time.Time
	Steps      []Step // in the order in which the first node came to them
	Rows       []Row  // by cluster, then in the natural order of names
	Critical   []Hold // what decided when the operation ended, in order of time
}

// Step is a micro-step of an instance, and how long nodes were at work in it.
type Step struct {
	Macro, Instance, Micro string
	Median, Longest        time.Duration // of the stays that ended well, without the wait for others
	Slowest                string        // node of the longest stay
	Nodes                  int           // stays
}

// Name is how texts call the step.
func (s *Step) Name() string { return s.Instance + "-" + s.Micro }

// Row is one node.
type Row struct {
	Node, Cluster string
	Bars          []Bar // by time
}

// Bar is one stay of the node in one micro-step.
type Bar struct {
	Step    int // index into Chart.Steps
	Attempt int // of the instance, from 0
	Ready   time.Time
	Start   time.Time // until then it waited for others
	Begin   time.Time // until then it stood in the step's own queue
	End     time.Time // of the chart, if the stay has not ended
	Open    bool      // it has not ended
	Error   string
}

// New arranges spans. now is taken as the end of stays that have none.
func New(spans []workflow.Span, now time.Time) *Chart {
	c := &Chart{}
	spans = slices.Clone(spans)
	slices.SortStableFunc(spans, func(a, b workflow.Span) int { return a.Started.Compare(b.Started) })
	type key struct{ instance, micro string }
	steps := make(map[key]int)
	rows := make(map[string]*Row)
	for i := range spans {
		s := &spans[i]
		k := key{s.Instance, s.Micro}
		step, known := steps[k]
		if !known {
			step = len(c.Steps)
			steps[k] = step
			c.Steps = append(c.Steps, Step{Macro: s.Macro, Instance: s.Instance, Micro: s.Micro})
		}
		row := rows[s.Node]
		if row == nil {
			row = &Row{Node: s.Node, Cluster: s.Cluster}
			rows[s.Node] = row
		}
		b := Bar{Step: step, Attempt: s.Attempt, Ready: s.Queued, Start: s.Started, End: s.Ended, Error: s.Error}
		if b.Ready.IsZero() || b.Ready.After(b.Start) {
			b.Ready = b.Start
		}
		if b.Open = b.End.IsZero(); b.Open {
			b.End = later(now, b.Start)
		}
		if b.Begin = later(b.Start, s.Begun); b.Begin.After(b.End) {
			b.Begin = b.End
		}
		row.Bars = append(row.Bars, b)
		if c.Begin.IsZero() || b.Ready.Before(c.Begin) {
			c.Begin = b.Ready
		}
		c.End = later(c.End, b.End)
	}
	for _, r := range rows {
		c.Rows = append(c.Rows, *r)
	}
	slices.SortFunc(c.Rows, func(a, b Row) int {
		return cmp.Or(nodeset.Compare(a.Cluster, b.Cluster), nodeset.Compare(a.Node, b.Node))
	})
	c.measure()
	c.Critical = c.critical()
	return c
}

// measure fills in how long the steps took.
func (c *Chart) measure() {
	took := make([][]time.Duration, len(c.Steps))
	for _, r := range c.Rows {
		for _, b := range r.Bars {
			s := &c.Steps[b.Step]
			s.Nodes++
			d := b.End.Sub(b.Start)
			if d > s.Longest || s.Slowest == "" {
				s.Longest, s.Slowest = d, r.Node
			}
			if b.Error == "" && !b.Open {
				took[b.Step] = append(took[b.Step], d)
			}
		}
	}
	for i, all := range took {
		if len(all) > 0 {
			slices.Sort(all)
			c.Steps[i].Median = all[(len(all)-1)/2]
		}
	}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
