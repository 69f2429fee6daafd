package bench

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"time"
)

// Run is one broadcast as it was measured.
type Run struct {
	Elapsed    time.Duration      // from the head's start to the last receiver's commit
	Gather     time.Duration      // from the head's start until it had all control links and called the engine
	Command    time.Duration      // from the head's start until the engine returned
	Rates      map[string]float64 // bytes per second at each receiver, from the engine's call to its commit
	SecondHalf map[string]float64 // bytes per second at each receiver over the second half of its copy
	CPU        time.Duration      // of the head and all relays
	Memory     int64              // bytes, of the relay that had most
	HeadMemory int64
	FirstByte  time.Duration // from the last READY to the first bytes in the last node's sink
	Wrong      []string      // what is not as it should be
	Slow       map[string]string
	Hops       int
}

// stage is one broadcast under way.
type stage struct {
	b      *Bench
	c      *Case
	net    network
	relays []*process // place 1 first
	head   *process
	began  time.Time
	ends   []*relayEnd
}

// broadcast does one run of a case.
func (b *Bench) broadcast(ctx context.Context, c *Case, src *data, net network, check bool) (*Run, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, b.limit(c), fmt.Errorf("nothing came to an end within %v", b.limit(c)))
	defer cancel()
	s := &stage{b: b, c: c, net: net, ends: make([]*relayEnd, c.Nodes)}
	defer s.endAll()
	if err := s.startRelays(ctx, check); err != nil {
		return nil, err
	}
	var names []string
	for i := range c.Nodes {
		names = append(names, nodeName(i+1))
	}
	s.began = time.Now()
	var err error
	first := order{Head: &headOrder{Case: *c, Listen: net.address(0).String(), Names: names, Log: b.Verbose}}
	if s.head, err = b.launch(net, 0, "head", "head", nil, first, src.File); err != nil {
		return nil, err
	}
	e, err := s.head.hear(ctx)
	if err != nil {
		return nil, err
	}
	for _, r := range s.relays {
		if err := r.tell(order{Go: e.Listening}); err != nil {
			return nil, err
		}
	}
	failed := make(chan error, c.Nodes)
	for i := range s.relays {
		go func() { failed <- s.watch(ctx, i) }()
	}
	h, err := s.head.hear(ctx)
	if err != nil {
		return nil, err
	}
	for range s.relays {
		if err := <-failed; err != nil {
			return nil, err
		}
	}
	run := s.measure(h.Head)
	if check {
		if err := s.compare(run, src); err != nil {
			return nil, err
		}
	}
	return run, nil
}

func nodeName(place int) string { return fmt.Sprintf("node-%d", place) }

// limit is when a broadcast has failed: ten times what the slowest cable or sink needs.
func (b *Bench) limit(c *Case) time.Duration {
	slowest := c.Rate
	for _, m := range []map[int]int64{c.SlowLinks, c.SlowSinks} {
		for _, r := range m {
			if slowest == 0 || r < slowest {
				slowest = r
			}
		}
	}
	if slowest == 0 {
		slowest = 200 << 20 / int64(c.Nodes)
	}
	return time.Minute + 10*time.Duration(float64(c.Size)/float64(slowest)*float64(time.Second))
}

// startRelays starts the nodes; they wait for the head.
func (s *stage) startRelays(ctx context.Context, check bool) error {
	dead := s.c.deadNodes()
	var env []string
	if s.c.Nodes >= runtime.NumCPU() {
		// Each relay stands for a host, which here has at most one core. With more threads
		// than that the relays' runtimes would only compete.
		env = []string{"GOMAXPROCS=1"}
	}
	for i := range s.c.Nodes {
		place := i + 1
		o := &relayOrder{
			Name: nodeName(place), Listen: s.net.address(place).String(), Check: check, Rate: s.c.SlowSinks[place],
			Dead: slices.Contains(dead, place), Log: s.b.Verbose,
		}
		o.Mark = s.c.Size / 2
		if h, ok := s.harm(place); ok {
			o.Mark = int64(h.Share * float64(s.c.Size))
			o.Die = slices.Contains(s.c.Kill, h)
		}
		p, err := s.b.launch(s.net, place, o.Name, "relay", env, order{Relay: o})
		if err != nil {
			return err
		}
		s.relays = append(s.relays, p)
	}
	for _, p := range s.relays {
		if _, err := p.hear(ctx); err != nil {
			return err
		}
	}
	return nil
}

// harm is what happens to a node, if anything.
func (s *stage) harm(place int) (Harm, bool) {
	for _, h := range append(slices.Clone(s.c.Kill), s.c.Cut...) {
		if h.Node == place {
			return h, true
		}
	}
	return Harm{}, false
}

// watch follows a relay to its end, and pulls its cable when the time has come.
func (s *stage) watch(ctx context.Context, i int) error {
	p, place := s.relays[i], i+1
	isPlace := func(h Harm) bool { return h.Node == place }
	for {
		e, err := p.hear(ctx)
		switch {
		case err != nil:
			return err
		case e.Joined:
			return s.net.cut(place)
		case e.Mark && slices.ContainsFunc(s.c.Kill, isPlace):
			return nil // it kills itself
		case e.Mark && slices.ContainsFunc(s.c.Cut, isPlace):
			return s.net.cut(place)
		case e.Relay != nil:
			s.ends[i] = e.Relay
			return nil
		}
	}
}

// endAll ends all processes, and gives the CPU time that they took.
func (s *stage) endAll() (cpu time.Duration) {
	all := s.relays
	if s.head != nil {
		all = append(slices.Clone(all), s.head)
	}
	for i, p := range all {
		if i < s.c.Nodes && s.victim(i+1) { // it does not hear that its input was closed, or that the head is gone
			p.kill()
		}
		p.in.Close()
	}
	for _, p := range all {
		cpu += p.end()
	}
	s.relays, s.head = nil, nil
	return cpu
}
