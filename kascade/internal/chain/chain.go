// Package chain decides: who feeds whom, who is dead, who takes over, when a node
// may leave (SPEC, sections 7 and 8). It is a state machine: Step takes an event and
// the time, and returns commands. It has no goroutines and no clock, does no I/O and
// logs nothing; it belongs to one goroutine.
package chain

import (
	"cmp"
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

// begin gives the nodes that are ready their places.
func (c *Chain) begin(now time.Duration) {
	ready, waiting := 0, 0
	for i := range c.nodes {
		switch c.nodes[i].state {
		case Waiting:
			waiting++
		case Failed:
		default:
			ready++
		}
	}
	if ready == 0 || (waiting > 0 && now < c.suspectAfter()) {
		return
	}
	c.begun, c.dirty = true, true
	for i := range c.nodes {
		if s := c.nodes[i].state; s != Waiting && s != Failed {
			c.order = append(c.order, i)
		}
	}
	for at, i := range c.order {
		c.nodes[i].run = at * c.cfg.Chains / len(c.order)
	}
	// Who has the start already cannot feed those who need it.
	slices.SortStableFunc(c.order, func(a, b int) int {
		x, y := &c.nodes[a], &c.nodes[b]
		return cmp.Or(cmp.Compare(x.run, y.run), cmp.Compare(x.received, y.received))
	})
}

// place puts node i, which came late, at the end of the shortest chain.
func (c *Chain) place(i int) {
	length := make([]int, c.cfg.Chains)
	for _, j := range c.order {
		if c.serves(j) {
			length[c.nodes[j].run]++
		}
	}
	run := slices.Index(length, slices.Min(length))
	c.nodes[i].run = run
	at := len(c.order)
	for at > 0 && c.nodes[c.order[at-1]].run > run {
		at--
	}
	c.order = slices.Insert(c.order, at, i)
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

// pace tells the head which of its readers get only what the chains leave.
func (c *Chain) pace() {
	flowing := c.flowing()
	for _, i := range c.order {
		n := &c.nodes[i]
		if want := n.branch && n.prev == Head && flowing && c.needs(i); want != n.paced {
			n.paced = want
			c.emit(Pace{Node: i, On: want})
		}
	}
}

// flowing tells whether a chain still needs bytes from the head.
func (c *Chain) flowing() bool {
	for _, i := range c.order {
		if !c.nodes[i].branch && c.needs(i) {
			return true
		}
	}
	return false
}

// branches counts the side branches that run beside a chain; without a chain they are
// not counted.
func (c *Chain) branches() int {
	if !c.flowing() {
		return 0
	}
	n := 0
	for _, i := range c.order {
		if c.nodes[i].side && c.nodes[i].prev == Head && c.needs(i) {
			n++
		}
	}
	return n
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

// previous is from whom node i should read: the nearest before it that can. What a node
// has received is known late, and what is missing then may be there in truth: only if it
// is exact, one that lacks bytes that the head cannot give either is passed over, and none
// may be the answer.
func (c *Chain) previous(i int, exact bool) int {
	n := &c.nodes[i]
	head := c.from <= n.received || !exact
	if n.side || len(n.avoid) >= maxAvoided && head {
		return Head
	}
	for at := slices.Index(c.order, i) - 1; at >= 0 && c.nodes[c.order[at]].run == n.run; at-- {
		p := c.order[at]
		if !c.serves(p) || c.nodes[p].side || n.avoid[p] || !head && c.nodes[p].oldest > n.received {
			continue
		}
		// A node of the chain is at most some windows behind: that gap is filled. One that
		// came late would hold up the chain with it.
		if head && (n.prev == none || n.branch) && c.nodes[p].oldest > n.received+c.cfg.Window {
			return Head
		}
		return p
	}
	if !head {
		return none
	}
	return Head
}

// feedFrom attaches node i to whom it should read from. If nobody has the bytes that it
// needs any more, its part is over.
func (c *Chain) feedFrom(now time.Duration, i int, exact bool) {
	switch p := c.previous(i, exact); {
	case p == none:
		c.lack(i)
	case p != Head || !c.nodes[i].side || c.branches() < maxBranches:
		c.attach(now, i, p)
	}
}

// lack ends the part of a node that needs bytes that are gone.
func (c *Chain) lack(i int) {
	n := &c.nodes[i]
	c.stop(i, fmt.Sprintf("needs the source from byte %d on, which the head cannot read again and keeps no longer (it has those from %d to %d)", n.received, c.from, c.to))
}

// attach tells node i to read from p.
func (c *Chain) attach(now time.Duration, i, p int) {
	n := &c.nodes[i]
	if n.prev != p {
		n.strikes = 0
		c.drop(i)
	}
	// Who comes late to a chain that runs, or reads from one that does, must not hold it up.
	if p == Head {
		n.branch = n.branch || n.prev == none && c.late(i)
	} else if !n.side {
		n.branch = c.nodes[p].branch
	}
	n.prev, n.retryAt, n.attached, n.advanced = p, 0, n.received, now
	n.gen++
	n.load.reset(now)
	if p != Head {
		c.emit(Expect{Node: p, Reader: i, Gen: n.gen, From: n.received})
	}
	c.emit(Attach{Node: i, Previous: p, Gen: n.gen})
}

// late tells whether node i, which was never fed, stands behind others of its chain that run.
func (c *Chain) late(i int) bool {
	for at := slices.Index(c.order, i) - 1; at >= 0 && c.nodes[c.order[at]].run == c.nodes[i].run; at-- {
		if p := c.order[at]; c.serves(p) && c.nodes[p].received > c.nodes[i].received+c.cfg.Window {
			return true
		}
	}
	return false
}

// drop tells the previous of node i to forget it.
func (c *Chain) drop(i int) {
	if p := c.nodes[i].prev; p == Head || p >= 0 && c.serves(p) {
		c.emit(Drop{Node: p, Reader: i})
	}
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
