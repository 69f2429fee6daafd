package bench

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"kadeploy/kascade"
)

// Row is a case of the suite and what it should reach.
type Row struct {
	Case
	Goals []Goal
}

const (
	mib  = 1 << 20
	gib  = 1 << 30
	mbit = 1e6 / 8
)

// suite is every row, in its order.
func suite() []Row {
	share := func(least float64) Goal {
		return Goal{"rate ÷ (iperf3 ÷ N)", least, true, "%.2f", func(f *Figures) float64 { return f.Share }}
	}
	cpu := func(most float64) Goal {
		return Goal{"CPU ÷ iperf3's", most, false, "%.2f", func(f *Figures) float64 { return f.CPURatio }}
	}
	goodput := Goal{"goodput, % of iperf3", 97, true, "%.1f", func(f *Figures) float64 { return 100 * f.Share }}
	lost := func(most float64) Goal {
		return Goal{"time lost, s", most, false, "%+.2f", func(f *Figures) float64 { return f.LostTime }}
	}
	line := []Goal{
		{"the others, % of iperf3", 90, true, "%.1f", func(f *Figures) float64 { return 100 * f.ofLine(f.OthersRate) }},
		{"the same, second half", 90, true, "%.1f", func(f *Figures) float64 { return 100 * f.ofLine(f.OthersSecondHalf) }},
		{"slow nodes named", 1, true, "%.0f", func(f *Figures) float64 { return float64(f.named()) }},
	}
	memory := func(most float64) Goal {
		return Goal{"memory of a relay, MiB", most, false, "%.0f", func(f *Figures) float64 { return float64(f.Memory) / mib }}
	}
	first := Goal{"ready → first at the last, ms", 150, false, "%.0f", func(f *Figures) float64 { return f.FirstByte * 1000 }}
	wait := kascade.Slow{Mode: kascade.SlowWait}
	return []Row{
		{Case{Name: "unshaped-8", Nodes: 8, Size: gib, NoVerify: true}, []Goal{share(0.80), cpu(1.15)}},
		{Case{Name: "unshaped-8-verified", Nodes: 8, Size: gib}, []Goal{share(0.50), cpu(1.9)}},
		{Case{Name: "unshaped-16", Nodes: 16, Size: gib, NoVerify: true}, []Goal{share(0.80), cpu(1.15)}},
		{Case{Name: "unshaped-16-verified", Nodes: 16, Size: gib}, []Goal{share(0.50), cpu(1.9)}},
		{Case{Name: "shaped-4", Nodes: 4, Size: 256 * mib, Rate: 1000 * mbit}, []Goal{goodput}},
		{Case{Name: "shaped-16", Nodes: 16, Size: 256 * mib, Rate: 1000 * mbit}, []Goal{goodput}},
		{Case{Name: "shaped-64", Nodes: 64, Size: 64 * mib, Rate: 100 * mbit}, []Goal{goodput}},
		{Case{Name: "kill", Nodes: 8, Size: 256 * mib, Rate: 500 * mbit, Kill: []Harm{{4, 0.5}}}, []Goal{lost(0.3)}},
		{Case{Name: "cut", Nodes: 8, Size: 256 * mib, Rate: 500 * mbit, Cut: []Harm{{4, 0.5}}}, []Goal{lost(1.5)}},
		{Case{Name: "dead", Nodes: 64, Size: 64 * mib, Rate: 100 * mbit, Dead: 8}, []Goal{lost(1.5)}},
		// Until it is moved aside, the slow node costs the others its patience.
		{Case{Name: "slow", Nodes: 8, Size: gib, Rate: 1000 * mbit, SlowLinks: map[int]int64{4: 100 * mbit}, Slow: kascade.Slow{Patience: time.Second}}, line},
		// The last sink is slow, and the chain waits for it: every window fills up.
		{Case{Name: "memory", Nodes: 8, Size: gib, SlowSinks: map[int]int64{8: 100 * mib}, Slow: wait}, []Goal{memory(48)}},
		{Case{Name: "memory-small", Nodes: 8, Size: gib, Window: 1 * mib, SlowSinks: map[int]int64{8: 100 * mib}, Slow: wait}, []Goal{memory(16)}},
		// A sink gets whole chunks: small ones, as the first byte is meant.
		{Case{Name: "start", Nodes: 64, Size: 4 * mib, Chunk: 64 << 10}, []Goal{first}},
	}
}

// ofLine is a rate as a share of what one hop of a whole cable carries.
func (f *Figures) ofLine(rate float64) float64 {
	if f.Iperf != nil {
		return over(rate, f.Iperf.Rate)
	}
	return over(rate, float64(f.LineRate))
}

// named counts the nodes that were made slow and were found to be.
func (f *Figures) named() int {
	n := 0
	for name := range f.slow {
		if f.Slow[name] != "" {
			n++
		}
	}
	return n
}

// Suite is the rows that a comma-separated list names: "unshaped" is all whose names begin
// so, "all" is everything.
func Suite(list string) ([]Row, error) {
	var rows []Row
	all := suite()
	for word := range strings.SplitSeq(list, ",") {
		found := slices.DeleteFunc(slices.Clone(all), func(r Row) bool {
			return word != "all" && r.Name != word && !strings.HasPrefix(r.Name, word+"-")
		})
		if len(found) == 0 {
			var names []string
			for _, r := range all {
				names = append(names, r.Name)
			}
			return nil, fmt.Errorf("%q is no case of the suite: use all, or some of %s", word, strings.Join(names, ", "))
		}
		rows = append(rows, found...)
	}
	return rows, nil
}
