// Package chain decides: who feeds whom, who is dead, who takes over, when a node
// may leave (SPEC, sections 7 and 8). It is a state machine: Step takes an event and
// the time, and returns commands. It has no goroutines and no clock, does no I/O and
// logs nothing; it belongs to one goroutine.
package chain

import (
	"fmt"
	"math"
	"slices"
	"time"
)

// Head stands for the head where a node's number is expected.
const Head = -1

// Unknown is the size of a source whose end is not known yet.
const Unknown = math.MaxInt64

// none is the previous of a node that was never attached.
const none = -2

// Limits of patience with a pair of nodes that cannot be connected.
const (
	maxStrikes = 3
	// stuckStrikes is how many strikes a connection counts that brought nothing: it took long.
	stuckStrikes = 2
	maxAvoided   = 2
	retryDelay   = 50 * time.Millisecond // doubled with each strike
	// maxBranches is how many slow nodes read from the head beside a chain that runs.
	maxBranches = 4
	// Less would be noise: a control link has a beat of 200 ms.
	leastDeadAfter = time.Second
	leastSuspicion = 600 * time.Millisecond
)

// Config is what stays the same in one broadcast.
type Config struct {
	Names       []string // nodes are numbered by their place in it, which is the chain's order
	Size        int64    // bytes of the source, or Unknown
	Window      int64    // bytes that a relay holds
	DeadAfter   time.Duration
	StartWithin time.Duration
	Chains      int // that start at the head; 0: 1
	Slow        Policy
	Line        float64 // bytes per second of the head's link; 0: not known
}

// State is what a node is doing (SPEC, section 7).
type State uint8

// States of a node; each names its exits.
const (
	Waiting   State = iota // → Receiving, Failed
	Receiving              // → Finishing, Relaying, Failed
	Finishing              // → Done, Relaying, Failed
	Relaying               // its sink failed → Failed, when nobody reads from it
	Done                   // no exit; released when nobody reads from it
	Failed                 // no exit
)

func (s State) String() string {
	return [...]string{"waiting", "receiving", "finishing", "relaying", "done", "failed"}[s]
}

// node is what the head knows about one node.
type node struct {
	state    State
	reason   string // of Relaying and Failed
	released bool

	answered bool          // if it is waiting: it lives
	heard    time.Duration // last sign of life
	advanced time.Duration // when received last grew, or the node was attached
	received int64
	consumed int64
	oldest   int64
	full     bool

	prev     int // a node, Head, or none
	gen      uint32
	retryAt  time.Duration // when to attach to prev again; 0: it is attached
	strikes  int           // attempts in a row that brought no byte
	attached int64         // received when it was attached
	avoid    map[int]bool  // nodes that it could not read from

	run    int  // the chain that it belongs to
	side   bool // taken out of its chain: it reads from the head, and nobody from it
	branch bool // it came late or is slow, or reads from one that is: the head feeds it with what the chains leave
	paced  bool // the head was told so
	slow   string
	load   load

	trialAt  time.Duration // no trial of it before this
	failures int           // of trials of it
}

// Chain is the state of one broadcast.
type Chain struct {
	cfg   Config
	nodes []node
	order []int // those that have taken their place, chain by chain
	begun bool
	dirty bool  // something has changed that settle looks at
	from  int64 // first byte of the source that the head can still give
	to    int64 // bytes of the source that the head has at hand now
	out   []Command

	feed      map[int]*load // of the head, by reader
	suspicion map[int][]*suspicion
	trial     *trial
	trialAt   time.Duration // no trial of what nobody has foreseen before this
	failures  int           // of trials
}

// New is a chain whose nodes have not answered yet, at time 0.
func New(cfg Config) *Chain {
	cfg.DeadAfter = max(cfg.DeadAfter, leastDeadAfter)
	cfg.Chains = max(1, min(cfg.Chains, len(cfg.Names)))
	cfg.Slow.fill()
	c := &Chain{cfg: cfg, nodes: make([]node, len(cfg.Names)), feed: map[int]*load{}, suspicion: map[int][]*suspicion{}, to: cfg.Size}
	for i := range c.nodes {
		c.nodes[i].prev = none
		c.nodes[i].avoid = map[int]bool{}
	}
	return c
}

// suspectAfter is the silence that makes a node suspect, and how long the start waits
// for the late ones.
func (c *Chain) suspectAfter() time.Duration { return max(c.cfg.DeadAfter*2/5, leastSuspicion) }

// StartWait is how long the start of the chain waits for the late ones.
func (c *Chain) StartWait() time.Duration { return c.suspectAfter() }

// Step takes one event and says what to do about it.
func (c *Chain) Step(now time.Duration, ev Event) []Command {
	c.out = nil
	ev.apply(c, now)
	c.settle(now)
	return c.out
}

// Over tells whether every node has failed, or is done and released.
func (c *Chain) Over() bool {
	for i := range c.nodes {
		n := &c.nodes[i]
		if n.state != Failed && !(n.state == Done && n.released) {
			return false
		}
	}
	return true
}

// settle makes true what must be true after every event: whoever needs bytes has a
// previous that serves, and whoever is needed by nobody is released.
func (c *Chain) settle(now time.Duration) {
	if !c.begun {
		c.begin(now)
	}
	for c.dirty {
		c.dirty = false
		// From the end, so that every node knows its reader before it gets a byte.
		for _, i := range slices.Backward(c.order) {
			n := &c.nodes[i]
			if c.needs(i) && (n.prev == none || n.prev != Head && !c.serves(n.prev)) {
				c.feedFrom(now, i, n.prev == none)
			}
		}
		for i := len(c.nodes) - 1; i >= 0; i-- {
			n := &c.nodes[i]
			if n.released || (n.state != Done && n.state != Relaying) || c.feeds(i) {
				continue
			}
			n.released, c.dirty = true, true
			c.emit(Release{i})
			if n.state == Relaying {
				c.leave(i)
			}
		}
		c.pace()
	}
}

// needs tells whether node i must get more bytes, for itself or for its readers.
func (c *Chain) needs(i int) bool {
	n := &c.nodes[i]
	switch {
	case n.received >= c.cfg.Size:
		return false
	case n.state == Receiving:
		return true
	case n.state == Relaying:
		return c.feeds(i)
	}
	return false
}

// feeds tells whether somebody needs bytes from node i.
func (c *Chain) feeds(i int) bool {
	for _, j := range c.order {
		if c.nodes[j].prev == i && c.needs(j) {
			return true
		}
	}
	return false
}

// serves tells whether node i can be read from.
func (c *Chain) serves(i int) bool {
	n := &c.nodes[i]
	return n.state != Waiting && n.state != Failed && !n.released
}

// fail ends node i's part. It stays in order, where it serves nobody any more.
func (c *Chain) fail(i int, reason string) {
	n := &c.nodes[i]
	c.dirty = true
	switch n.state {
	case Failed:
		return
	case Done:
		n.released = true // it succeeded; only its readers notice
		c.drop(i)
		return
	case Relaying: // the sink's reason is the one that counts
	default:
		n.reason = reason
	}
	c.leave(i)
}

// leave makes node i failed, with the reason that it has.
func (c *Chain) leave(i int) {
	c.nodes[i].state = Failed
	c.dirty = true
	c.drop(i)
}

// stop is fail by the head's own decision; the node is told.
func (c *Chain) stop(i int, reason string) {
	c.fail(i, reason)
	c.emit(Stop{Node: i, Reason: reason})
}

// misbehave is what happens to a node that says what it cannot mean.
func (c *Chain) misbehave(i int, what string) {
	c.stop(i, fmt.Sprintf("protocol error: %s in state %s", what, c.nodes[i].state))
}

func (c *Chain) emit(cmd Command) { c.out = append(c.out, cmd) }
