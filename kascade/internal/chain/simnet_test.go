package chain

import (
	"fmt"
	"math"
	"time"
)

const simStep = 10 * time.Millisecond

// simNet is a network in which bytes flow as a liquid, and its nodes. It obeys a Chain and
// tells it what real nodes would.
type simNet struct {
	c           *Chain
	now         time.Duration
	size        float64
	window      float64
	out, source float64 // of the head: bytes per second of its link and of its source
	nodes       []simNode
	cut         map[[2]int]bool // pairs that cannot talk
	paced       map[int]bool
	log         func(now time.Duration, what string)
	begun       bool
}

type simNode struct {
	dead, silent, gone   bool // gone: it was released or stopped
	in, out, sink, cpu   float64
	received, consumed   float64
	prev                 int
	gen                  uint32
	up                   bool          // it is connected to prev
	upAt                 time.Duration // when it will be, or fails
	gap                  float64       // the head feeds it up to here
	held                 map[int]float64
	told                 time.Duration
	times                Times
	feed                 Feed
	finished, sinkFailed bool
	failSinkAt           float64
}

// sockets is how many bytes fit into the sockets of a connection.
const sockets = 4 << 20

func newSimNet(cfg Config, line, sink float64) *simNet {
	s := &simNet{c: New(cfg), size: float64(cfg.Size), window: float64(cfg.Window), out: line, source: math.Inf(1), cut: map[[2]int]bool{}, paced: map[int]bool{}}
	for range cfg.Names {
		s.nodes = append(s.nodes, simNode{in: line, out: line, sink: sink, cpu: 20 * line, prev: none, held: map[int]float64{}, failSinkAt: math.Inf(1)})
	}
	return s
}

func (s *simNet) event(ev Event) {
	for _, cmd := range s.c.Step(s.now, ev) {
		if s.log != nil {
			s.log(s.now, cmd.String())
		}
		s.obey(cmd)
	}
}

func (s *simNet) obey(cmd Command) {
	switch cmd := cmd.(type) {
	case Attach:
		n := &s.nodes[cmd.Node]
		n.prev, n.gen, n.up, n.gap = cmd.Previous, cmd.Gen, false, 0
		n.upAt = s.now + 5*time.Millisecond
	case Expect:
		p := &s.nodes[cmd.Node]
		p.held[cmd.Reader] = max(float64(cmd.From), s.oldest(cmd.Node))
	case Drop:
		if cmd.Node >= 0 {
			delete(s.nodes[cmd.Node].held, cmd.Reader)
		}
		if r := &s.nodes[cmd.Reader]; r.up && r.prev == cmd.Node {
			r.up, r.upAt = false, math.MaxInt64
			s.lost(cmd.Reader)
		}
	case Release:
		s.leave(cmd.Node)
	case Stop:
		s.leave(cmd.Node)
	case Pace:
		s.paced[cmd.Node] = cmd.On
	}
}

func (s *simNet) leave(i int) {
	s.nodes[i].gone = true
	s.unplug(i)
}

// unplug ends the connections of those who read from i.
func (s *simNet) unplug(i int) {
	for j := range s.nodes {
		if r := &s.nodes[j]; r.prev == i && r.up {
			r.up, r.upAt = false, math.MaxInt64
			s.later(j)
		}
	}
}

// later makes node j report that it lost its previous, after other events.
func (s *simNet) later(j int) { s.nodes[j].upAt = s.now + simStep; s.nodes[j].gap = -1 }

func (s *simNet) lost(j int) {
	if s.hears(j) {
		s.nodes[j].upAt = s.now + simStep
		s.nodes[j].gap = -1
	}
}

func (s *simNet) hears(i int) bool {
	n := &s.nodes[i]
	return !n.dead && !n.silent && !n.gone
}

func (s *simNet) kill(i int) {
	n := &s.nodes[i]
	if n.dead || n.gone {
		return
	}
	n.dead = true
	s.unplug(i)
	if !n.silent {
		s.event(Gone{Node: i, Reason: "control link lost"})
	}
}

func (s *simNet) vanish(i int) { s.nodes[i].silent = true }

// oldest is the first byte that node i still has.
func (s *simNet) oldest(i int) float64 {
	return max(0, min(s.slowest(i), s.nodes[i].received-s.window/4))
}

// slowest is how far the slowest of those is that node i serves.
func (s *simNet) slowest(i int) float64 {
	n := &s.nodes[i]
	least := n.received
	if !n.sinkFailed {
		least = n.consumed
	}
	for j, at := range n.held {
		if r := &s.nodes[j]; r.up && r.prev == i && r.gap <= 0 {
			at = r.received
		}
		least = min(least, at)
	}
	return least
}

// connect opens the connections that are due, or reports that they cannot be.
func (s *simNet) connect() {
	for j := range s.nodes {
		r := &s.nodes[j]
		if r.up || r.prev == none || r.upAt > s.now || !s.hears(j) {
			continue
		}
		p := r.prev
		switch {
		case r.gap < 0 || s.cut[[2]int{p, j}] || p >= 0 && (s.nodes[p].dead || s.nodes[p].gone):
			r.gap, r.upAt = 0, math.MaxInt64
			if r.received < s.size {
				s.event(Lost{Node: j, Gen: r.gen, Reason: "connection refused"})
			}
		case p >= 0 && s.nodes[p].silent:
			r.upAt = s.now + 2*time.Second
			r.gap = -1
		default:
			r.up = true
			if p >= 0 {
				if o := s.oldest(p); o > r.received {
					r.gap = o
				}
				s.nodes[p].held[j] = max(r.received, r.gap)
			}
		}
	}
}

// flow moves bytes for one step.
func (s *simNet) flow() {
	dt := simStep.Seconds()
	before := make([]float64, len(s.nodes))
	for i := range s.nodes {
		before[i] = s.nodes[i].received
	}
	wish, why, from := make([]float64, len(s.nodes)), make([]string, len(s.nodes)), make([]int, len(s.nodes))
	for i := range s.nodes {
		wish[i], why[i], from[i] = s.wish(i, before, dt)
	}
	for p := Head; p < len(s.nodes); p++ {
		out := s.out
		if p >= 0 {
			out = s.nodes[p].out
		} else if s.source < out {
			out = s.source
		}
		share(wish, why, from, p, out*dt)
	}
	for i := range s.nodes {
		n := &s.nodes[i]
		if !s.works(i) {
			continue
		}
		n.received += wish[i]
		if n.gap > 0 && n.received >= n.gap {
			n.gap = 0
		}
		idle := time.Duration(float64(simStep) * max(0, 1-wish[i]/(n.cpu*dt)))
		n.times.Period += simStep
		for j := range n.held {
			if r := &s.nodes[j]; r.up && r.prev == i && r.gap <= 0 && n.received-r.received > sockets {
				n.times.Blocked += simStep
				break
			}
		}
		n.feed.Period += simStep
		switch why[i] {
		case "starved":
			n.times.Starved += idle
		case "no room":
			n.times.NoRoom += idle
		}
		if n.prev == Head && n.up {
			if s.source < s.out && why[i] == "starved" {
				n.feed.Source += simStep
			} else {
				n.feed.Blocked += simStep
			}
		}
		ate := max(0, min(n.sink*dt, n.received-n.consumed))
		if n.consumed+ate >= n.failSinkAt && !n.sinkFailed {
			n.sinkFailed = true
			s.event(SinkFailed{Node: i, Reason: "no space"})
		}
		if n.sinkFailed {
			ate = 0
		}
		n.consumed += ate
		n.times.Sink += time.Duration(float64(simStep) * ate / (n.sink * dt))
		if ate > 0 {
			n.times.SinkRate = int64(n.sink)
		}
	}
}

// works tells whether node i's machine runs and can be reached.
func (s *simNet) works(i int) bool { return s.hears(i) }

// wish is how much node i could take in one step, what limits it, and from whom it takes it.
func (s *simNet) wish(i int, before []float64, dt float64) (float64, string, int) {
	n := &s.nodes[i]
	if !n.up || !s.works(i) || n.received >= s.size {
		return 0, "starved", none
	}
	p := n.prev
	if p >= 0 && s.cut[[2]int{p, i}] {
		return 0, "starved", none
	}
	w, why := n.cpu*dt, "cpu"
	least := func(x float64, reason string) {
		if x < w {
			w, why = max(0, x), reason
		}
	}
	least(n.in*dt, "starved")
	switch {
	case n.gap > 0:
		least(n.gap-n.received, "starved")
		p = Head
	case p >= 0:
		if s.nodes[p].silent || s.nodes[p].dead || s.nodes[p].gone {
			return 0, "starved", none
		}
		least(before[p]-n.received, "starved")
	default:
		least(s.size-n.received, "starved")
	}
	if p == Head && s.paced[i] {
		least(s.out*0.05*dt, "starved")
	}
	least(s.slowest(i)+s.window-n.received, "no room")
	return w, why, p
}

// share divides what p can send among those who read from it, the least first.
func share(wish []float64, why []string, from []int, p int, out float64) {
	left := map[int]bool{}
	for i := range wish {
		if from[i] == p {
			left[i] = true
		}
	}
	for len(left) > 0 {
		fair := out / float64(len(left))
		some := false
		for i := range left {
			if wish[i] <= fair {
				out -= wish[i]
				delete(left, i)
				some = true
			}
		}
		if some {
			continue
		}
		for i := range left {
			wish[i], why[i] = fair, "starved"
		}
		return
	}
}

// report sends what is due of every node.
func (s *simNet) report() {
	for i := range s.nodes {
		n := &s.nodes[i]
		if !s.hears(i) || !s.begun {
			continue
		}
		all := n.received >= s.size && int64(n.received) > s.c.nodes[i].received
		if s.now-n.told >= 200*time.Millisecond || all {
			n.told = s.now
			t := n.times
			n.times = Times{}
			room := n.received+1 >= s.slowest(i)+s.window
			s.event(Status{Node: i, Received: int64(min(n.received, s.size)), Consumed: int64(min(n.consumed, n.received)), Oldest: int64(s.oldest(i)), Full: room, Times: t})
			if n.prev == Head && n.feed.Period > 0 && n.up {
				n.feed.Reader = i
				s.event(n.feed)
				n.feed = Feed{}
			}
		}
		if n.consumed >= s.size && n.received >= s.size && !n.finished && !n.sinkFailed && s.hears(i) {
			n.finished = true
			s.event(Finished{Node: i})
		}
	}
}

// step passes one step of time.
func (s *simNet) step() {
	s.now += simStep
	s.connect()
	s.flow()
	s.report()
	if s.now%(50*time.Millisecond) == 0 {
		s.event(Tick{})
	}
}

// ready makes the nodes that live answer.
func (s *simNet) ready(have map[int]int64) {
	s.now = time.Millisecond
	s.begun = true
	for i := range s.nodes {
		if s.hears(i) {
			s.nodes[i].received, s.nodes[i].consumed = float64(have[i]), float64(have[i])
			s.nodes[i].told = time.Duration(i%20) * simStep
			s.event(Ready{Node: i, Have: have[i]})
		}
	}
	s.now = 0
}

func (s *simNet) String() string {
	var b []byte
	for i := range s.nodes {
		v := s.c.View(i)
		b = fmt.Appendf(b, "    %d %v", i, v.State)
		for _, w := range []struct {
			is   bool
			word string
		}{{v.Side, "side"}, {v.Slow != "", "slow: " + v.Slow}, {v.Reason != "", "reason: " + v.Reason}} {
			if w.is {
				b = append(b, ", "+w.word...)
			}
		}
		b = append(b, '\n')
	}
	return string(b)
}
