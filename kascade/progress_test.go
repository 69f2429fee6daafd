package kascade

import (
	"testing"
	"time"
)

// TestProgress: while the command of one node holds everybody up, the head says so, knows
// the rate, and how long the rest takes.
func TestProgress(t *testing.T) {
	t.Parallel()
	const size = 8 << 20
	r := newRig(t, 4, size, 64<<10)
	r.head.Window, r.head.Chains = 512<<10, 2
	r.head.Slow = Slow{Mode: SlowWait}
	r.sinks["node-2"].onWrite = func(int) error { time.Sleep(15 * time.Millisecond); return nil } // 2 s in all
	named, most := 0, time.Duration(0)
	var rate float64
	r.head.Report = 50 * time.Millisecond
	r.head.Progress = func(p Progress) {
		if p.Slowest == "node-2" && p.Why == "its disk or command" {
			named++
		} else if p.Slowest == "node-2" {
			t.Errorf("node-2 is slow by %s", p.Why)
		}
		if p.Elapsed > 500*time.Millisecond {
			most, rate = max(most, p.Left), max(rate, p.Rate)
		}
		for _, n := range p.Nodes {
			if want := map[string]int{"node-1": 0, "node-2": 0, "node-3": 1, "node-4": 1}[n.Name]; n.State == Receiving && n.Chain != want {
				t.Errorf("%s is in chain %d, want %d", n.Name, n.Chain, want)
			}
		}
	}
	res, err := r.run(within(t, patience*20*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	r.check(res)
	if named == 0 {
		t.Error("node-2 was never named as the slowest")
	}
	if most <= 0 || most > patience*5*time.Second || rate <= 0 {
		t.Errorf("at most %v left at %.0f bytes/s, want about 1 s", most, rate)
	}
}
