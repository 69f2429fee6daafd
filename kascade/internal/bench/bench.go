// Package bench measures the engine: it starts a head and relays as processes of their own,
// in network namespaces on one bridge or on the loopback interface, lets them broadcast, harms
// some of them, and measures iperf3 beside them. It holds no part of the chain itself: relays
// and the head are the engine's public API. It judges nothing: goals are printed, not enforced.
package bench

import (
	"context"
	"errors"
	"fmt"
	"time"

	"kadeploy/kascade"
)

// Case is one thing to measure. Sizes are bytes, rates bytes per second.
type Case struct {
	Name     string
	Nodes    int
	Size     int64
	Rate     int64 // of each node's cable, each way; 0: not shaped
	NoVerify bool
	Encrypt  bool
	Compress kascade.Compression
	Window   int64 // bytes that a relay may hold; 0: the engine's default
	Chunk    int   // bytes of the manifest's chunks; 0: the engine's default
	Chains   int
	Slow     kascade.Slow
	Data     string // random, zero, or a file

	Kill, Cut []Harm
	Dead      int           // nodes that say nothing from the start, spread over the chain
	SlowLinks map[int]int64 // node → rate of its cable
	SlowSinks map[int]int64 // node → rate of its sink
	// StartWithin is how long a node may take to get ready; 0: the engine's default.
	StartWithin time.Duration
	NoBaseline  bool // do not measure the same without failures
}

// Harm is what happens to a node once its sink has this share of the source.
type Harm struct {
	Node  int
	Share float64 // 0 to 1
}

// harmed tells whether any node is killed, cut off or dead.
func (c *Case) harmed() bool { return len(c.Kill)+len(c.Cut)+c.Dead > 0 }

// healthy is the case without its failures: what they cost is the difference.
func (c *Case) healthy() *Case {
	h := *c
	h.Kill, h.Cut, h.Dead = nil, nil, 0
	return &h
}

// check refuses what cannot be measured.
func (c *Case) check(loopback bool) error {
	if c.Nodes < 1 || c.Nodes > maxNodes {
		return fmt.Errorf("%d nodes: use 1 to %d", c.Nodes, maxNodes)
	}
	if loopback && (c.Rate > 0 || len(c.Cut) > 0 || len(c.SlowLinks) > 0) {
		return errors.New("--rate, --cut and --slow-node need cables, which --loopback has not: run as root without it")
	}
	if c.Dead >= c.Nodes {
		return fmt.Errorf("--dead %d: there are %d nodes, and one must live", c.Dead, c.Nodes)
	}
	if c.Chunk != 0 && (c.Chunk < 1<<10 || c.Chunk > 4<<20) {
		return fmt.Errorf("chunks of %d bytes: use 1KiB to 4MiB", c.Chunk)
	}
	victims := map[int]bool{}
	for _, i := range c.deadNodes() {
		victims[i] = true
	}
	for _, h := range append(append([]Harm{}, c.Kill...), c.Cut...) {
		if h.Node < 1 || h.Node > c.Nodes {
			return fmt.Errorf("node %d cannot be harmed: nodes are 1 to %d", h.Node, c.Nodes)
		}
		if victims[h.Node] {
			return fmt.Errorf("node %d cannot be harmed twice, or is dead from the start", h.Node)
		}
		victims[h.Node] = true
	}
	for _, m := range []map[int]int64{c.SlowLinks, c.SlowSinks} {
		for i := range m {
			if i < 1 || i > c.Nodes {
				return fmt.Errorf("node %d cannot be slow: nodes are 1 to %d", i, c.Nodes)
			}
		}
	}
	return nil
}

// deadNodes are spread evenly: neither the first nor the last, if there is a choice.
func (c *Case) deadNodes() []int {
	var dead []int
	for k := range c.Dead {
		dead = append(dead, 1+(2*k+1)*c.Nodes/(2*c.Dead))
	}
	return dead
}

// maxNodes fits the addresses of the network.
const maxNodes = 4096

// Bench is how cases are measured.
type Bench struct {
	Command  []string // starts this program, up to the words "relay" or "head"
	Loopback bool
	Iperf    bool // measure iperf3 beside
	Runs     int
	Verbose  bool                             // pass on what the processes log
	Log      func(format string, args ...any) // what is being done
}

// Measure measures one case: a first run that is not counted and in which sinks hash what they
// get, then Runs rounds of iperf3, the case without failures, and the case.
func (b *Bench) Measure(ctx context.Context, c *Case) (*Figures, error) {
	if err := c.check(b.Loopback); err != nil {
		return nil, err
	}
	src, err := openData(c.Data, c.Size)
	if err != nil {
		return nil, err
	}
	defer src.Close()
	c.Size = src.size
	f := newFigures(c, b)
	if err := b.with(c, func(net network) error {
		return b.rounds(ctx, c, src, net, f)
	}); err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return nil, fmt.Errorf("%s: %w", c.Name, err)
	}
	f.sum()
	return f, nil
}

// with brings up the network of a case, and takes it down after.
func (b *Bench) with(c *Case, do func(network) error) error {
	net, err := b.network(c)
	if err != nil {
		return err
	}
	err = do(net)
	return errors.Join(err, net.remove())
}

func (b *Bench) rounds(ctx context.Context, c *Case, src *data, net network, f *Figures) error {
	baseline := c.harmed() && !c.NoBaseline
	for round := range b.Runs + 1 {
		warm := round == 0
		if b.Iperf && !warm {
			b.Log("%s: round %d of %d: iperf3", c.Name, round, b.Runs)
			m, err := iperf(ctx, net, c)
			if err != nil {
				return err
			}
			f.hops = append(f.hops, *m)
		}
		if baseline && !warm {
			b.Log("%s: round %d of %d: without failures", c.Name, round, b.Runs)
			r, err := b.broadcast(ctx, c.healthy(), src, net, false)
			if err != nil {
				return err
			}
			f.baseline = append(f.baseline, r.Elapsed.Seconds())
		}
		b.Log("%s: round %d of %d", c.Name, round, b.Runs)
		r, err := b.broadcast(ctx, c, src, net, warm || c.harmed())
		if err != nil {
			return err
		}
		f.add(r, warm)
		if err := net.mend(); err != nil {
			return err
		}
		time.Sleep(pause)
	}
	return nil
}

// pause lets the processes of one run be gone before the next.
const pause = 50 * time.Millisecond
