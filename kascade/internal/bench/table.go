package bench

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
)

// Table prints figures for people.
func Table(w io.Writer, all []*Figures) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "case\tN\tMiB/s (slowest)\tMiB/s (median)\telapsed s\tof iperf3\tCPU s/GiB/hop\t× iperf3\trelay MiB\tfirst ms\tlost s\tlists\t")
	for _, f := range all {
		fmt.Fprintf(t, "%s\t%d\t%.0f\t%.0f\t%.2f\t%s\t%.3f\t%s\t%.0f\t%.0f\t%s\t%s\t\n", f.Case, f.Nodes, f.Rate/mib, f.RateMedian/mib, f.Elapsed,
			f.share(), f.CPU, f.ratio(), float64(f.Memory)/mib, f.FirstByte*1000, f.lost(), f.verdict())
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, f := range all {
		for _, line := range f.notes() {
			if _, err := fmt.Fprintf(w, "%s, %d nodes: %s\n", f.Case, f.Nodes, line); err != nil {
				return err
			}
		}
	}
	return nil
}

func (f *Figures) share() string {
	switch {
	case f.Iperf == nil:
		return "-"
	case f.LineRate > 0:
		return fmt.Sprintf("%.1f %%", 100*f.Share)
	}
	return fmt.Sprintf("%.2f ÷N", f.Share)
}

func (f *Figures) ratio() string {
	if f.Iperf == nil {
		return "-"
	}
	return fmt.Sprintf("%.2f", f.CPURatio)
}

func (f *Figures) lost() string {
	if f.WithoutFail == 0 {
		return "-"
	}
	return fmt.Sprintf("%+.2f", f.LostTime)
}

func (f *Figures) verdict() string {
	if len(f.Wrong) > 0 {
		return "WRONG"
	}
	return "right"
}

// lateEnd is how many seconds of the head's after the last receiver are worth a note.
const lateEnd = 0.5

// notes are what does not fit into a row.
func (f *Figures) notes() []string {
	lines := slices.Clone(f.Wrong)
	if f.Iperf != nil {
		lines = append(lines, fmt.Sprintf("iperf3 over one hop: %.0f MiB/s (%.0f to %.0f), %.3f CPU s/GiB (%.3f to %.3f)", f.Iperf.Rate/mib,
			slices.Min(f.Iperf.Rates)/mib, slices.Max(f.Iperf.Rates)/mib, f.Iperf.CPU, slices.Min(f.Iperf.CPUs), slices.Max(f.Iperf.CPUs)))
	}
	if f.WithoutFail > 0 {
		lines = append(lines, fmt.Sprintf("without failures %.2f s; %d failed, %+.2f s each", f.WithoutFail, f.Failures, f.LostEach))
	}
	lines = append(lines, fmt.Sprintf("%.2f s until the head had all control links", f.Gather))
	if f.Command > f.Elapsed+lateEnd {
		lines = append(lines, fmt.Sprintf("the head ended %.2f s after the last receiver", f.Command-f.Elapsed))
	}
	if f.OthersRate > 0 {
		lines = append(lines, fmt.Sprintf("nodes that were not made slow: %.1f MiB/s, over the second half of their copies %.1f MiB/s", f.OthersRate/mib, f.OthersSecondHalf/mib))
	}
	if len(f.Slow) > 0 {
		var s []string
		for _, name := range slices.Sorted(maps.Keys(f.Slow)) {
			s = append(s, name+" ("+f.Slow[name]+")")
		}
		lines = append(lines, "found slow: "+strings.Join(s, ", "))
	}
	return lines
}
