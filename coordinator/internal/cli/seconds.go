package cli

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"kadeploy/coordinator/internal/nodeset"
	"kadeploy/coordinator/internal/workflow"
)

// maxColumns is up to how many nodes a timeline has a column for each.
const maxColumns = 6

// row is one micro-step of one attempt of an instance, and how long nodes were in it.
type row struct {
	instance, micro string
	attempt         int
	seconds         map[string]float64
}

// rowsOf groups spans that ended by micro-step, in the order of their first start.
func rowsOf(spans []workflow.Span) (rows []*row, nodes []string) {
	type key struct {
		instance, micro string
		attempt         int
	}
	spans = slices.Clone(spans)
	slices.SortStableFunc(spans, func(a, b workflow.Span) int { return a.Started.Compare(b.Started) })
	byKey := make(map[key]*row)
	for _, s := range spans {
		if s.Ended.IsZero() {
			continue
		}
		k := key{s.Instance, s.Micro, s.Attempt}
		r := byKey[k]
		if r == nil {
			r = &row{s.Instance, s.Micro, s.Attempt, make(map[string]float64)}
			byKey[k] = r
			rows = append(rows, r)
		}
		r.seconds[s.Node] += s.Ended.Sub(s.Started).Seconds()
		nodes = append(nodes, s.Node)
	}
	nodes = unique(nodes)
	nodeset.Sort(nodes)
	return rows, nodes
}

// writeTimeline prints the seconds that nodes spent in each micro-step.
func writeTimeline(w io.Writer, spans []workflow.Span) {
	rows, nodes := rowsOf(spans)
	if len(rows) == 0 {
		return
	}
	fmt.Fprintf(w, "\nSeconds per micro-step\n%-52s", "")
	if len(nodes) <= maxColumns {
		for _, n := range nodes {
			label, _, _ := strings.Cut(n, ".")
			fmt.Fprintf(w, " %9.9s", label)
		}
	} else {
		fmt.Fprintf(w, " %5s %9s %9s %9s  %s", "nodes", "min", "median", "max", "slowest")
	}
	fmt.Fprintln(w)
	for _, r := range rows {
		name := r.instance + "-" + r.micro
		if r.attempt > 0 {
			name += fmt.Sprintf(" (attempt %d)", r.attempt+1)
		}
		fmt.Fprintf(w, "%-52s", name)
		if len(nodes) <= maxColumns {
			r.columns(w, nodes)
		} else {
			r.summary(w)
		}
		fmt.Fprintln(w)
	}
}

func (r *row) columns(w io.Writer, nodes []string) {
	for _, n := range nodes {
		if s, ok := r.seconds[n]; ok {
			fmt.Fprintf(w, " %9.2f", s)
		} else {
			fmt.Fprintf(w, " %9s", "-")
		}
	}
}

func (r *row) summary(w io.Writer) {
	var all []float64
	slowest, most := "", -1.0
	for n, s := range r.seconds {
		all = append(all, s)
		if s > most || s == most && nodeset.Compare(n, slowest) < 0 {
			slowest, most = n, s
		}
	}
	slices.Sort(all)
	fmt.Fprintf(w, " %5d %9.2f %9.2f %9.2f  %s", len(all), all[0], all[len(all)/2], most, slowest)
}
