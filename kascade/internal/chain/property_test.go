package chain

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// calamity is something that happens to a simulated network.
type calamity struct {
	at    time.Duration
	what  string
	nodes [2]int
	rate  float64
}

// TestNetworks throws deaths, silences, cut links, full disks and slow parts at simulated
// chains, several at once and at any time: from before the start to after the end. Whatever
// happens, the chain ends; who lives and can reach somebody has everything; who died is
// failed; who failed has a reason of its own.
func TestNetworks(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 9).Draw(t, "nodes")
		cfg := Config{
			Names: make([]string, n), Size: int64(rapid.SampledFrom([]int{0, 1, 100, 500, 1000}).Draw(t, "MiB")) << 20, Window: int64(rapid.IntRange(4, 32).Draw(t, "window MiB")) << 20,
			DeadAfter: 2500 * time.Millisecond, StartWithin: 10 * time.Second, Chains: rapid.IntRange(1, 3).Draw(t, "chains"),
			Slow: Policy{Mode: Mode(rapid.IntRange(0, 1).Draw(t, "mode")), Patience: time.Duration(rapid.IntRange(3, 30).Draw(t, "patience")) * 100 * time.Millisecond},
		}
		s := newSimNet(cfg, 100*percent, 1000*percent)
		var log strings.Builder
		s.log = func(now time.Duration, what string) { fmt.Fprintf(&log, "%.2fs %s\n", now.Seconds(), what) }
		plan := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) calamity {
			return calamity{
				at:    time.Duration(rapid.SampledFrom([]int{0, 5, 100, 300, 600}).Draw(t, "at")+rapid.IntRange(0, 99).Draw(t, "and")) * simStep,
				what:  rapid.SampledFrom([]string{"kill", "kill", "vanish", "cut", "full", "in", "out", "sink", "mend"}).Draw(t, "what"),
				nodes: [2]int{rapid.IntRange(0, n-1).Draw(t, "node"), rapid.IntRange(-1, n-1).Draw(t, "from")},
				rate:  float64(rapid.IntRange(2, 60).Draw(t, "rate")) * percent,
			}
		}), 0, 6).Draw(t, "plan")
		doomed, full := map[int]bool{}, map[int]bool{}
		happen := func() {
			for _, c := range plan {
				i := c.nodes[0]
				if c.at != s.now || s.nodes[i].gone {
					continue
				}
				switch node := &s.nodes[i]; c.what {
				case "kill":
					doomed[i] = true
					s.kill(i)
				case "vanish":
					doomed[i] = true
					s.vanish(i)
				case "cut":
					if c.nodes[1] >= 0 { // the head reaches all: else a node fails by right
						s.cut[[2]int{c.nodes[1], i}] = true
					}
				case "full":
					if node.consumed < s.size {
						node.failSinkAt, full[i] = node.consumed, true
					}
				case "in":
					node.in = c.rate
				case "out":
					node.out = c.rate
				case "sink":
					node.sink = c.rate
				case "mend":
					node.in, node.out, node.sink = 100*percent, 100*percent, 1000*percent
				}
			}
		}
		happen()
		s.ready(nil)
		before := make([]int64, n)
		for !s.c.Over() {
			s.step()
			happen()
			for i := range s.c.nodes {
				v := s.c.View(i)
				if v.Received < before[i] {
					t.Fatalf("%v: node %d goes back from %d to %d\n%s", s.now, i, before[i], v.Received, &log)
				}
				before[i] = v.Received
				if v.State == Failed && !doomed[i] && !full[i] {
					t.Fatalf("%v: node %d lives, but failed: %s\n%s", s.now, i, v.Reason, &log)
				}
			}
			if problem := unfed(s.c); problem != "" {
				t.Fatalf("%v: %s\n%s", s.now, problem, &log)
			}
			if s.now > 30*time.Minute {
				t.Fatalf("the chain does not end\n%s\n%s", &log, s)
			}
		}
		for i := range s.nodes {
			v, node := s.c.View(i), &s.nodes[i]
			switch {
			case v.State == Done && node.consumed < s.size:
				t.Fatalf("node %d is done with %.0f of %.0f bytes\n%s", i, node.consumed, s.size, &log)
			case v.State == Failed && v.Reason == "":
				t.Fatalf("node %d failed without a reason\n%s", i, &log)
			case v.State == Done && doomed[i] && !node.finished:
				t.Fatalf("node %d died and is done\n%s", i, &log)
			case v.State != Done && !doomed[i] && !node.sinkFailed:
				t.Fatalf("node %d is %v: %s\n%s", i, v.State, v.Reason, &log)
			}
		}
	})
}

// unfed names a node that needs bytes and reads from nobody, or from one that it must not.
func unfed(c *Chain) string {
	place := map[int]int{}
	for at, i := range c.order {
		place[i] = at
	}
	for _, i := range c.order {
		n := &c.nodes[i]
		switch {
		case !c.needs(i) || n.prev == Head:
		case n.prev == none:
			if !n.side || c.branches() < maxBranches {
				return fmt.Sprintf("node %d needs bytes and has nobody", i)
			}
		case !c.serves(n.prev) || place[n.prev] >= place[i] || c.nodes[n.prev].run != n.run || c.nodes[n.prev].side:
			return fmt.Sprintf("node %d must not read from %d", i, n.prev)
		}
	}
	return ""
}
