package bench

import (
	"context"
	"fmt"
	"os"
	"slices"
	"testing"
	"time"
)

func TestMain(m *testing.M) {
	roles := map[string]func(context.Context) error{
		"relay": func(ctx context.Context) error { return Relay(ctx, os.Stdin, os.Stdout, os.Stderr) },
		"head":  func(ctx context.Context) error { return Head(ctx, os.Stdin, os.Stdout, os.Stderr) },
	}
	if len(os.Args) == 2 && roles[os.Args[1]] != nil {
		if err := roles[os.Args[1]](context.Background()); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// measure measures a small case, once.
func measure(t *testing.T, c Case, loopback, iperf bool) *Figures {
	t.Helper()
	b := &Bench{Command: os.Args[:1], Loopback: loopback, Iperf: iperf, Runs: 1, Log: t.Logf}
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	defer cancel()
	c.Chunk = 64 << 10
	f, err := b.Measure(ctx, &c)
	if err != nil {
		t.Fatal(err)
	}
	if len(f.Wrong) > 0 {
		t.Errorf("wrong: %q", f.Wrong)
	}
	if f.Elapsed <= 0 || f.Rate <= 0 || f.CPU <= 0 || f.RateMedian < f.Rate || f.Goodput <= 0 || f.Memory < 1<<20 || f.FirstByte <= 0 || f.FirstByte > f.Elapsed {
		t.Errorf("figures make no sense: %+v", f)
	}
	if len(f.runs) != 1 {
		t.Fatalf("%d runs were counted, want 1", len(f.runs))
	}
	return f
}

func TestLoopback(t *testing.T) {
	f := measure(t, Case{Name: "plain", Nodes: 3, Size: 4 << 20}, true, false)
	if len(f.runs[0].Rates) != 3 || f.Iperf != nil || f.WithoutFail != 0 {
		t.Errorf("rates %v, iperf3 %v, without failures %v", f.runs[0].Rates, f.Iperf, f.WithoutFail)
	}
	f = measure(t, Case{Name: "kill", Nodes: 4, Size: 4 << 20, Kill: []Harm{{2, 0.5}}}, true, false)
	if _, there := f.runs[0].Rates["node-2"]; there || len(f.runs[0].Rates) != 3 {
		t.Errorf("the killed node has a rate, or another has none: %v", f.runs[0].Rates)
	}
	if f.WithoutFail <= 0 || f.Failures != 1 || f.LostTime != f.Elapsed-f.WithoutFail {
		t.Errorf("time lost %v, without failures %v", f.LostTime, f.WithoutFail)
	}
	f = measure(t, Case{Name: "dead", Nodes: 4, Size: 1 << 20, Dead: 2, NoBaseline: true, StartWithin: time.Second}, true, false)
	if len(f.runs[0].Rates) != 2 {
		t.Errorf("two of four were dead from the start, rates: %v", f.runs[0].Rates)
	}
	f = measure(t, Case{Name: "sink", Nodes: 2, Size: 1 << 20, SlowSinks: map[int]int64{2: 2 << 20}, NoVerify: true}, true, false)
	if f.Elapsed < 0.4 || f.Verified {
		t.Errorf("1 MiB into a sink of 2 MiB/s took %v s", f.Elapsed)
	}
}

// TestInterrupted: nothing is left of a benchmark that is cancelled.
func TestInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := fmt.Errorf("interrupt")
	c := Case{Name: "long", Nodes: 2, Size: 8 << 20, SlowSinks: map[int]int64{1: 1 << 20}}
	b := &Bench{Command: os.Args[:1], Loopback: true, Runs: 1, Log: func(string, ...any) { time.AfterFunc(time.Second, func() { cancel(stop) }) }}
	start := time.Now()
	_, err := b.Measure(ctx, &c)
	if context.Cause(ctx) != stop || err == nil || err.Error() != "long: interrupt" {
		t.Errorf("Measure = %v, want the interrupt", err)
	}
	if d := time.Since(start); d > 10*time.Second {
		t.Errorf("took %v to end", d)
	}
}

func TestDeadNodes(t *testing.T) {
	for _, c := range []struct {
		nodes, dead int
		want        []int
	}{
		{64, 8, []int{5, 13, 21, 29, 37, 45, 53, 61}},
		{4, 2, []int{2, 4}},
		{3, 1, []int{2}},
		{3, 0, nil},
	} {
		k := Case{Nodes: c.nodes, Dead: c.dead}
		if got := k.deadNodes(); !slices.Equal(got, c.want) {
			t.Errorf("%d of %d: %v, want %v", c.dead, c.nodes, got, c.want)
		}
	}
}

func TestCheck(t *testing.T) {
	for _, c := range []struct {
		name string
		Case
		loopback, good bool
	}{
		{"good", Case{Nodes: 4, Kill: []Harm{{1, 0}}, Cut: []Harm{{4, 0.5}}, SlowLinks: map[int]int64{2: 1}, Rate: 1}, false, true},
		{"no nodes", Case{}, false, false},
		{"all dead", Case{Nodes: 2, Dead: 2}, false, false},
		{"harmed twice", Case{Nodes: 2, Kill: []Harm{{1, 0}}, Cut: []Harm{{1, 0.5}}}, false, false},
		{"dead and harmed", Case{Nodes: 3, Kill: []Harm{{2, 0}}, Dead: 1}, false, false},
		{"no such victim", Case{Nodes: 2, Kill: []Harm{{3, 0}}}, false, false},
		{"no such slow node", Case{Nodes: 2, SlowSinks: map[int]int64{3: 1}}, false, false},
		{"huge chunks", Case{Nodes: 2, Chunk: 8 << 20}, false, false},
		{"shaped loopback", Case{Nodes: 2, Rate: 1}, true, false},
		{"cut loopback", Case{Nodes: 2, Cut: []Harm{{1, 0}}}, true, false},
	} {
		if err := c.check(c.loopback); (err == nil) != c.good {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}
