package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"kadeploy/kascade"
	"kadeploy/kascade/internal/bench"
)

// benchOptions are what the command line of "kascade bench" said.
type benchOptions struct {
	nodes, size, rate   string
	noVerify, encrypt   bool
	compress, window    string
	chains              int
	chunk               string
	slowNode, slowSink  []string
	slow                string
	patience            time.Duration
	kill, cut           []string
	dead, runs          int
	data, against, plot string
	suite               string
	json, loopback      bool
	verbose             bool
}

func (o *options) benchCommand() *cobra.Command {
	b := &benchOptions{}
	cmd := &cobra.Command{
		Use:   "bench [options]",
		Short: "Measure chains on this machine, beside iperf3",
		Long: `Measure chains on this machine: a head and relays as processes of their own, each in a
network namespace on one bridge (needs root), or on the loopback interface, from the page cache
to nowhere. iperf3 over one hop of the same network is measured between the runs.

Every figure is a median. Nothing is judged: the exit code says only whether it could be measured.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return b.run(cmd.Context(), o) },
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVarP(&b.nodes, "nodes", "N", "8", "numbers of relays `N1,N2,...`, each a case")
	f.StringVar(&b.size, "size", "1GiB", "`SIZE` of what is broadcast")
	f.StringVar(&b.rate, "rate", "", "shape every cable, both ways, to `RATE` such as 1Gbit (tc tbf)")
	f.StringVar(&b.data, "data", "random", "what is broadcast: random, zero, or a file's name (`DATA`)")
	f.BoolVar(&b.noVerify, "no-verify", false, "no digests, no CRC")
	f.BoolVar(&b.encrypt, "encrypt", false, "TLS 1.3 between nodes")
	f.StringVar(&b.compress, "compress", "auto", "lz4 on the wire: `WHEN` is auto, on or off")
	f.StringVar(&b.window, "window", "", "`SIZE` that a relay may hold")
	f.StringVar(&b.chunk, "chunk", "", "`SIZE` of the chunks that are verified")
	f.IntVar(&b.chains, "chains", 1, "`K` chains that start at the head")
	f.StringSliceVar(&b.kill, "kill", nil, "kill a node's process once it has so much: `NODE@SHARE%`, as in 4@50%")
	f.StringSliceVar(&b.cut, "cut", nil, "`NODE@SHARE%`: the same, but pull its cable")
	f.IntVar(&b.dead, "dead", 0, "`K` nodes, spread over the chain, never say a word")
	f.StringSliceVar(&b.slowNode, "slow-node", nil, "`NODE=RATE` of a node's cable, as in 3=100Mbit")
	f.StringSliceVar(&b.slowSink, "slow-sink", nil, "`NODE=RATE` of a node's sink, as in 3=20MiB/s")
	f.StringVar(&b.slow, "slow", "side", "what is done about slow nodes: `MODE` is wait, side or drop")
	f.DurationVar(&b.patience, "patience", 0, "`TIME` for which a slow node may hold up the chain, such as 3s; 0: the engine's")
	f.BoolVar(&b.loopback, "loopback", false, "processes on the loopback interface: no root, no cables")
	f.IntVar(&b.runs, "runs", 5, "`R` runs of each case, not counting one to warm up")
	f.StringVar(&b.against, "against", "iperf3", "`TOOL` that is measured beside, if it is installed: iperf3 or none")
	f.StringVar(&b.suite, "suite", "", "measure cases with goals instead of those that the options say: `all`, or some of\n"+
		"unshaped, shaped, kill, cut, dead, slow, memory, start; longer names choose one row, as unshaped-8-verified")
	f.Lookup("suite").NoOptDefVal = "all"
	f.StringVar(&b.plot, "plot", "", "draw throughput against the number of nodes in `FILE` (PNG)")
	f.BoolVar(&b.json, "json", false, "print one JSON object a line for each case")
	f.BoolVarP(&b.verbose, "verbose", "v", false, "show what head and relays log")
	cmd.AddCommand(
		&cobra.Command{Use: "relay", Hidden: true, Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
			return bench.Relay(cmd.Context(), o.in, o.out, o.errs)
		}},
		&cobra.Command{Use: "head", Hidden: true, Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
			return bench.Head(cmd.Context(), o.in, o.out, o.errs)
		}},
	)
	return cmd
}

// run measures every case, and prints the figures.
func (b *benchOptions) run(ctx context.Context, o *options) error {
	rows, err := b.rows()
	if err != nil {
		return err
	}
	m, err := b.bench(o)
	if err != nil {
		return err
	}
	var all []*bench.Figures
	for _, r := range rows {
		f, err := m.Measure(ctx, &r.Case)
		if err != nil {
			return err
		}
		all = append(all, f)
		if b.json {
			if err := json.NewEncoder(o.out).Encode(r.With(f)); err != nil {
				return err
			}
		}
	}
	if !b.json {
		err = bench.Table(o.out, all)
	}
	if err == nil && !b.json && b.suite != "" {
		fmt.Fprintln(o.out)
		err = bench.GoalTable(o.out, rows, all)
	}
	if err == nil && b.plot != "" {
		err = bench.Plot(b.plot, all)
	}
	return err
}

// bench is how cases are measured.
func (b *benchOptions) bench(o *options) (*bench.Bench, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	m := &bench.Bench{Command: []string{self, "bench"}, Loopback: b.loopback, Runs: b.runs, Verbose: b.verbose}
	m.Log = func(format string, args ...any) { fmt.Fprintf(o.errs, "kascade bench: "+format+"\n", args...) }
	if b.runs < 1 {
		return nil, fmt.Errorf("--runs %d: use at least 1", b.runs)
	}
	switch b.against {
	case "none":
	case "iperf3":
		if m.Iperf = bench.HasIperf(); !m.Iperf {
			m.Log("iperf3 is not installed: figures stand alone")
		}
	default:
		return nil, fmt.Errorf("--against %s: use iperf3 or none", b.against)
	}
	return m, nil
}

// rows are what is measured: cases of the suite, or what the other options say.
func (b *benchOptions) rows() ([]bench.Row, error) {
	if b.suite != "" {
		return bench.Suite(b.suite)
	}
	cases, err := b.cases()
	var rows []bench.Row
	for _, c := range cases {
		rows = append(rows, bench.Row{Case: *c})
	}
	return rows, err
}

// cases are what the options ask for: one case for each number of nodes.
func (b *benchOptions) cases() ([]*bench.Case, error) {
	c := bench.Case{
		NoVerify: b.noVerify, Encrypt: b.encrypt, Chains: b.chains, Dead: b.dead, Data: b.data,
		SlowLinks: map[int]int64{}, SlowSinks: map[int]int64{},
	}
	nodes, err := bench.ParseNodes(b.nodes)
	if err != nil {
		return nil, fmt.Errorf("-N: %w", err)
	}
	if c.Size, err = bench.ParseSize(b.size); err != nil {
		return nil, fmt.Errorf("--size: %w", err)
	}
	if b.rate != "" {
		if c.Rate, err = bench.ParseRate(b.rate); err != nil {
			return nil, fmt.Errorf("--rate: %w", err)
		}
	}
	if b.window != "" {
		if c.Window, err = bench.ParseSize(b.window); err != nil {
			return nil, fmt.Errorf("--window: %w", err)
		}
	}
	if b.chunk != "" {
		n, err := bench.ParseSize(b.chunk)
		if err != nil {
			return nil, fmt.Errorf("--chunk: %w", err)
		}
		c.Chunk = int(n)
	}
	if c.Compress, err = bench.ParseCompression(b.compress); err != nil {
		return nil, fmt.Errorf("--compress: %w", err)
	}
	c.Slow.Patience = b.patience
	if c.Slow.Mode, err = kascade.ParseSlowMode(b.slow); err != nil {
		return nil, fmt.Errorf("--slow: %w", err)
	}
	if err := b.trouble(&c); err != nil {
		return nil, err
	}
	c.Name = b.name()
	var cases []*bench.Case
	for _, n := range nodes {
		one := c
		one.Nodes = n
		cases = append(cases, &one)
	}
	return cases, nil
}

// trouble reads what happens to single nodes.
func (b *benchOptions) trouble(c *bench.Case) error {
	for flag, words := range map[string][]string{"--kill": b.kill, "--cut": b.cut} {
		for _, w := range words {
			h, err := bench.ParseHarm(w)
			if err != nil {
				return fmt.Errorf("%s: %w", flag, err)
			}
			if flag == "--kill" {
				c.Kill = append(c.Kill, h)
			} else {
				c.Cut = append(c.Cut, h)
			}
		}
	}
	for flag, words := range map[string][]string{"--slow-node": b.slowNode, "--slow-sink": b.slowSink} {
		for _, w := range words {
			node, rate, err := bench.ParseSlow(w)
			if err != nil {
				return fmt.Errorf("%s: %w", flag, err)
			}
			if flag == "--slow-node" {
				c.SlowLinks[node] = rate
			} else {
				c.SlowSinks[node] = rate
			}
		}
	}
	return nil
}

// name says in a few words what is special about the case.
func (b *benchOptions) name() string {
	words := []string{b.size}
	if b.rate != "" {
		words = append(words, b.rate)
	}
	if b.noVerify {
		words = append(words, "not verified")
	}
	if b.encrypt {
		words = append(words, "encrypted")
	}
	for verb, list := range map[string][]string{"kill": b.kill, "cut": b.cut, "slow": b.slowNode, "slow sink": b.slowSink} {
		if len(list) > 0 {
			words = append(words, verb+" "+strings.Join(list, " "))
		}
	}
	if b.dead > 0 {
		words = append(words, fmt.Sprintf("%d dead", b.dead))
	}
	return strings.Join(words, ", ")
}
