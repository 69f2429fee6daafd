package chain

import (
	"fmt"
	"time"
)

// Limit is what a chain waits for.
type Limit struct {
	Node  int
	Cause string // for people
	kind  limitKind
}

// limitKind is what of a node is slow.
type limitKind uint8

const (
	slowSink limitKind = iota + 1
	slowCPU
	slowLink   // between the node and its previous
	slowWayOut // to its readers
)

// Shares of a node's time, and what they prove.
const (
	mostly = 0.5 // it waits for this, and for nothing else as much
	busy   = 0.7 // this is all that it does
	idle   = 0.3 // it hardly ever waits
)

// locate finds what a chain waits for. It goes from the first node that needs bytes (those
// before it have them all) to the first that does not wait for others behind it: either its
// sink or its CPU is all that it waits for, or it starves although its previous has bytes for
// it, which is their link. It finds nothing while times are missing, or when the head itself
// waits for its source.
func (c *Chain) locate(now time.Duration, run int) (Limit, bool) {
	main := c.main(run)
	if len(main) == 0 {
		return Limit{}, false
	}
	for i := main[0]; i >= 0; i = c.reader(run, i) {
		switch l := &c.nodes[i].load; {
		case !l.known(now):
			return Limit{}, false
		case l.noRoom >= mostly && l.blocked < mostly && l.sink+l.verify >= busy && l.sinkRate*mostly <= l.rate:
			return c.limit(i, sinkOrCPU(l)), true
		case l.noRoom >= mostly:
		case c.nodes[i].prev == Head && !c.waitsFor(now, i):
			return Limit{}, false
		case l.starved >= mostly:
			return c.limit(i, slowLink), true
		case l.waiting() < idle:
			return c.limit(i, slowCPU), true
		default:
			return Limit{}, false
		}
	}
	return Limit{}, false
}

// waitsFor tells whether the head waits for node i, which it feeds, to take more.
func (c *Chain) waitsFor(now time.Duration, i int) bool {
	f := c.feed[i]
	return f != nil && f.known(now) && f.blocked >= mostly
}

func sinkOrCPU(l *load) limitKind {
	if l.verify > l.sink {
		return slowCPU
	}
	return slowSink
}

// reader is the node of the chain that reads from p and needs bytes; the first of them, as
// others behind it are being moved. -1: none.
func (c *Chain) reader(run, p int) int {
	for _, j := range c.order {
		n := &c.nodes[j]
		if n.run == run && n.prev == p && !n.side && !n.branch && c.needs(j) {
			return j
		}
	}
	return -1
}

func (c *Chain) limit(i int, kind limitKind) Limit {
	l := Limit{Node: i, kind: kind}
	switch kind {
	case slowSink:
		l.Cause = "its disk or command"
	case slowCPU:
		l.Cause = "its CPU"
	case slowLink:
		l.Cause = fmt.Sprintf("its link from %s", c.name(c.nodes[i].prev))
	}
	return l
}

func (c *Chain) name(i int) string {
	switch {
	case i < 0:
		return "the head"
	case c.cfg.Names[i] == "":
		return fmt.Sprintf("node %d", i)
	}
	return c.cfg.Names[i]
}
