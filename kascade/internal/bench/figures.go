package bench

import (
	"maps"
	"slices"
)

// Figures are what was measured for one case: one line of the JSON output. Every figure is the
// median of the runs unless its comment says otherwise; a figure that was not measured is absent.
// Sizes are bytes, rates bytes per second, times seconds.
type Figures struct {
	Case     string `json:"case"`
	Nodes    int    `json:"nodes"`
	Size     int64  `json:"size"`
	LineRate int64  `json:"line_rate,omitempty"` // to which cables were shaped
	Verified bool   `json:"verified"`
	Encrypt  bool   `json:"encrypted,omitempty"`
	Compress string `json:"compress,omitempty"`
	Chains   int    `json:"chains,omitempty"`
	Window   int64  `json:"window,omitempty"`
	Loopback bool   `json:"loopback,omitempty"`
	Runs     int    `json:"runs"`

	// Rate is the slowest receiver's, from the engine's call to its commit; RateMedian the median receiver's.
	Rate       float64 `json:"rate"`
	RateMedian float64 `json:"rate_median"`
	// Elapsed is from the start of the head's process to the last receiver's commit; Goodput the size divided by it.
	Elapsed    float64   `json:"elapsed"`
	ElapsedAll []float64 `json:"elapsed_runs"` // of each run
	Goodput    float64   `json:"goodput"`
	// Gather is the part of Elapsed until the head had all control links and called the engine.
	Gather float64 `json:"gather"`
	// Command is from the start of the head's process until it knows how every node ended: later than Elapsed if
	// it waits for nodes that are dead.
	Command float64 `json:"command"`
	// Share is Rate ÷ (iperf3 ÷ hops) when cables are not shaped, as all hops share the machine; else Goodput ÷ iperf3.
	Share       float64 `json:"share,omitempty"`
	CPU         float64 `json:"cpu_per_gib_hop"` // seconds of head and relays, per GiB and hop
	CPURatio    float64 `json:"cpu_ratio,omitempty"`
	Memory      int64   `json:"relay_memory"` // most of all relays and runs
	HeadMemory  int64   `json:"head_memory"`  // most of all runs
	FirstByte   float64 `json:"first_byte"`   // from the last READY to the first chunk in the last node's sink
	Failures    int     `json:"failures,omitempty"`
	LostTime    float64 `json:"lost_time,omitempty"` // Elapsed less BaselineElapsed
	LostEach    float64 `json:"lost_per_failure,omitempty"`
	WithoutFail float64 `json:"elapsed_without_failures,omitempty"`
	// Others are the nodes that were not made slow.
	OthersRate       float64           `json:"others_rate,omitempty"`        // of the slowest of them, whole copy
	OthersSecondHalf float64           `json:"others_second_half,omitempty"` // the same over the second half of the copy
	Slow             map[string]string `json:"slow,omitempty"`               // of the last run: node → what was slow
	Wrong            []string          `json:"wrong"`                        // every run: what is not as it should be; empty: all right
	Iperf            *IperfFigures     `json:"iperf3,omitempty"`

	baseline []float64
	hops     []hop
	runs     []*Run
	slow     map[string]bool
}

// IperfFigures are iperf3's, over one hop of the same network.
type IperfFigures struct {
	Rate float64 `json:"rate"`
	CPU  float64 `json:"cpu_per_gib_hop"` // seconds of both ends
	// Of each run: where the two ends share a core or do not, as the kernel likes, both differ much.
	Rates []float64 `json:"rate_runs"`
	CPUs  []float64 `json:"cpu_per_gib_hop_runs"`
}

func newFigures(c *Case, b *Bench) *Figures {
	f := &Figures{
		Case: c.Name, Nodes: c.Nodes, Size: c.Size, LineRate: c.Rate, Verified: !c.NoVerify, Encrypt: c.Encrypt, Compress: compressions[c.Compress],
		Chains: c.Chains, Window: c.Window, Loopback: b.Loopback, Failures: len(c.Kill) + len(c.Cut) + c.Dead, Wrong: []string{},
		slow: map[string]bool{},
	}
	for _, m := range []map[int]int64{c.SlowLinks, c.SlowSinks} {
		for place := range m {
			f.slow[nodeName(place)] = true
		}
	}
	return f
}

// add takes a run. Of one that only warms up, nothing but what is wrong counts.
func (f *Figures) add(r *Run, warm bool) {
	for _, w := range r.Wrong {
		if !slices.Contains(f.Wrong, w) {
			f.Wrong = append(f.Wrong, w)
		}
	}
	f.Slow = r.Slow
	if !warm {
		f.runs = append(f.runs, r)
	}
}

// sum makes the figures.
func (f *Figures) sum() {
	f.Runs = len(f.runs)
	if f.Runs == 0 {
		return
	}
	gib := float64(f.Size) / (1 << 30)
	f.Elapsed = f.median(func(r *Run) float64 { return r.Elapsed.Seconds() })
	for _, r := range f.runs {
		f.ElapsedAll = append(f.ElapsedAll, r.Elapsed.Seconds())
		f.Memory, f.HeadMemory = max(f.Memory, r.Memory), max(f.HeadMemory, r.HeadMemory)
	}
	f.Rate = f.median(func(r *Run) float64 { return least(r.Rates) })
	f.RateMedian = f.median(func(r *Run) float64 { return median(slices.Collect(maps.Values(r.Rates))) })
	f.Gather = f.median(func(r *Run) float64 { return r.Gather.Seconds() })
	f.Command = f.median(func(r *Run) float64 { return r.Command.Seconds() })
	f.Goodput = over(float64(f.Size), f.Elapsed)
	f.CPU = f.median(func(r *Run) float64 { return r.CPU.Seconds() / gib / float64(r.Hops) })
	f.FirstByte = f.median(func(r *Run) float64 { return r.FirstByte.Seconds() })
	f.sumIperf()
	if len(f.baseline) > 0 {
		f.WithoutFail = median(f.baseline)
		f.LostTime = f.Elapsed - f.WithoutFail
		f.LostEach = f.LostTime / float64(f.Failures)
	}
	if len(f.slow) > 0 {
		f.OthersRate = f.median(func(r *Run) float64 { return least(f.others(r.Rates)) })
		f.OthersSecondHalf = f.median(func(r *Run) float64 { return least(f.others(r.SecondHalf)) })
	}
}

func (f *Figures) sumIperf() {
	if len(f.hops) == 0 {
		return
	}
	var rates, cpu []float64
	for _, h := range f.hops {
		rates = append(rates, h.Rate)
		cpu = append(cpu, h.CPU.Seconds()/(float64(h.Size)/(1<<30)))
	}
	f.Iperf = &IperfFigures{Rate: median(rates), CPU: median(cpu), Rates: rates, CPUs: cpu}
	f.CPURatio = over(f.CPU, f.Iperf.CPU)
	if f.LineRate > 0 {
		f.Share = f.Goodput / f.Iperf.Rate
	} else {
		f.Share = f.Rate / (f.Iperf.Rate / float64(f.runs[0].Hops))
	}
}

// others are the values of nodes that were not made slow.
func (f *Figures) others(all map[string]float64) map[string]float64 {
	m := maps.Clone(all)
	maps.DeleteFunc(m, func(name string, _ float64) bool { return f.slow[name] })
	return m
}

func (f *Figures) median(of func(*Run) float64) float64 {
	var v []float64
	for _, r := range f.runs {
		v = append(v, of(r))
	}
	return median(v)
}

// median of values; of two in the middle, their mean; 0 of none.
func median(v []float64) float64 {
	if len(v) == 0 {
		return 0
	}
	v = slices.Sorted(slices.Values(v))
	return (v[(len(v)-1)/2] + v[len(v)/2]) / 2
}

// least of values; 0 of none.
func least(m map[string]float64) float64 {
	if len(m) == 0 {
		return 0
	}
	return slices.Min(slices.Collect(maps.Values(m)))
}

func over(a, b float64) float64 {
	if b == 0 {
		return 0
	}
	return a / b
}
