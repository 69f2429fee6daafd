package chain

import (
	"fmt"
	"time"
)

// Event is something that happened. What comes late, from a node that has failed
// already, changes nothing.
type Event interface {
	apply(c *Chain, now time.Duration)
}

// Ready: a node's data port is open, and it needs the stream from byte Have on.
type Ready struct {
	Node int
	Have int64
}

// Answered: a node lives that is not ready yet, as it is not known what it holds.
type Answered struct{ Node int }

// Status: how far a node is, and what it did with its time.
type Status struct {
	Node                       int
	Received, Consumed, Oldest int64
	Full                       bool
	Times                      Times
}

// Times is what a node spent the last Period with (SPEC, STATUS). The zero value says nothing.
type Times struct {
	Period                                 time.Duration
	Starved, Blocked, NoRoom, Sink, Verify time.Duration
	SinkRate                               int64 // bytes per second of Sink; 0: it was not used
}

// Feed: what the head spent the last Period with for one reader: waiting for its own
// source, and for the reader to take what it writes.
type Feed struct {
	Reader                  int
	Period, Source, Blocked time.Duration
}

// Lost: a node gets nothing more from the previous of generation Gen.
type Lost struct {
	Node   int
	Gen    uint32
	Gone   bool // the bytes that it needs are not there any more
	Reason string
}

// Source: the head can give the bytes From to To now; the source's end is Size, or Unknown.
type Source struct{ From, To, Size int64 }

// Line: the head reaches a node over a link of so many bytes per second.
type Line struct{ Rate float64 }

// SinkFailed: a node's sink failed; it goes on relaying.
type SinkFailed struct {
	Node   int
	Reason string
}

// Finished: a node has verified, consumed and committed everything.
type Finished struct{ Node int }

// Gone: a node's control link ended, or the node cannot go on.
type Gone struct {
	Node   int
	Reason string
}

// Cancel: the broadcast ends now.
type Cancel struct{ Reason string }

// Tick: time has passed.
type Tick struct{}

func (e Ready) apply(c *Chain, now time.Duration) {
	n := &c.nodes[e.Node]
	if n.state == Failed {
		return
	}
	if n.state != Waiting || e.Have < 0 || e.Have > c.cfg.Size {
		c.misbehave(e.Node, fmt.Sprintf("READY at byte %d", e.Have))
		return
	}
	n.state, n.heard, n.advanced = Receiving, now, now
	n.received, n.consumed, n.oldest = e.Have, e.Have, e.Have
	if n.received == c.cfg.Size {
		n.state = Finishing
	}
	if c.begun {
		c.place(e.Node)
	}
	c.dirty = true
}

func (e Answered) apply(c *Chain, now time.Duration) {
	n := &c.nodes[e.Node]
	n.answered, n.heard = true, now
}

func (e Status) apply(c *Chain, now time.Duration) {
	n := &c.nodes[e.Node]
	switch {
	case n.state == Failed:
		return
	case n.state == Waiting || e.Received < n.received || e.Consumed < n.consumed || e.Received > c.cfg.Size || e.Consumed > e.Received:
		c.misbehave(e.Node, fmt.Sprintf("STATUS received %d consumed %d", e.Received, e.Consumed))
		return
	}
	n.heard = now
	if e.Received > n.received {
		n.advanced = now
	}
	n.load.add(now, e.Received-n.received, e.Times)
	n.received, n.consumed, n.oldest, n.full = e.Received, e.Consumed, e.Oldest, e.Full
	if n.received == c.cfg.Size {
		c.dirty = true
		if n.state == Receiving {
			n.state = Finishing
		}
	}
	c.observe(now, e.Node)
}

func (e Feed) apply(c *Chain, now time.Duration) {
	l := c.feed[e.Reader]
	if l == nil {
		l = &load{}
		c.feed[e.Reader] = l
	}
	l.add(now, 0, Times{Period: e.Period, Starved: e.Source, Blocked: e.Blocked})
}

func (e Lost) apply(c *Chain, now time.Duration) {
	n := &c.nodes[e.Node]
	if n.state == Failed || n.state == Waiting {
		return
	}
	n.heard = now
	switch {
	case e.Gen != n.gen:
	case e.Gone && n.prev == Head:
		c.lack(e.Node)
	case e.Gone && n.retryAt == 0 && n.prev != none:
		n.avoid[n.prev] = true
		c.feedFrom(now, e.Node, true) // a STATUS came before
	default:
		c.strike(now, e.Node, 1, e.Reason)
	}
}

func (e Source) apply(c *Chain, _ time.Duration) {
	c.dirty = c.dirty || c.cfg.Size != e.Size
	c.from, c.to, c.cfg.Size = e.From, e.To, e.Size
	for i := range c.nodes {
		n := &c.nodes[i]
		switch {
		case n.state != Failed && n.received > e.Size:
			c.misbehave(i, fmt.Sprintf("received %d bytes of %d", n.received, e.Size))
		case n.state == Receiving && n.received == e.Size:
			n.state = Finishing
		}
	}
}

// strike counts an attempt of node i that brought nothing more, and plans the next.
func (c *Chain) strike(now time.Duration, i, weight int, reason string) {
	n := &c.nodes[i]
	if n.prev == none || n.retryAt != 0 {
		return
	}
	if n.received > n.attached {
		n.strikes = 0
	}
	n.strikes += weight
	if n.strikes < maxStrikes {
		n.retryAt = now + retryDelay<<(n.strikes-1)
		return
	}
	if n.prev == Head {
		c.stop(i, "cannot be fed by the head: "+reason)
		return
	}
	n.avoid[n.prev] = true
	c.feedFrom(now, i, false)
}

func (e SinkFailed) apply(c *Chain, now time.Duration) {
	n := &c.nodes[e.Node]
	switch n.state {
	case Receiving, Finishing:
		n.heard = now
		n.state, n.reason, c.dirty = Relaying, e.Reason, true
	case Failed, Relaying:
	default:
		c.misbehave(e.Node, "SINK-FAILED")
	}
}

func (e Finished) apply(c *Chain, now time.Duration) {
	n := &c.nodes[e.Node]
	switch n.state {
	case Finishing:
		n.heard = now
		n.state, n.consumed, c.dirty = Done, c.cfg.Size, true
	case Failed:
	default:
		c.misbehave(e.Node, "DONE")
	}
}

func (e Line) apply(c *Chain, _ time.Duration) { c.cfg.Line = max(c.cfg.Line, e.Rate) }

func (e Gone) apply(c *Chain, _ time.Duration) { c.fail(e.Node, e.Reason) }

func (e Cancel) apply(c *Chain, _ time.Duration) {
	for i := range c.nodes {
		n := &c.nodes[i]
		if n.state == Done && !n.released {
			n.released = true
			c.emit(Release{i})
		} else if n.state != Failed && n.state != Done {
			c.stop(i, e.Reason)
		}
	}
}

// apply looks for nodes that are late, silent or stuck, and for attempts that are due.
func (Tick) apply(c *Chain, now time.Duration) {
	for i := range c.nodes {
		n := &c.nodes[i]
		switch {
		case n.state == Failed || n.released:
		case n.state == Waiting:
			if !n.answered && now >= c.cfg.StartWithin {
				c.stop(i, fmt.Sprintf("did not answer within %v", c.cfg.StartWithin))
			} else if n.answered && now-n.heard >= c.cfg.DeadAfter {
				c.stop(i, fmt.Sprintf("vanished: silent for %v before it received anything", (now-n.heard).Round(10*time.Millisecond)))
			}
		case c.dead(now, i):
			c.stop(i, fmt.Sprintf("vanished: silent for %v after %s", (now-n.heard).Round(10*time.Millisecond), c.share(n.received)))
		}
	}
	for _, i := range c.order {
		n := &c.nodes[i]
		switch {
		case !c.needs(i) || n.prev == none || n.prev >= 0 && !c.serves(n.prev):
		case n.retryAt != 0 && now >= n.retryAt:
			c.attach(now, i, n.prev)
		case n.retryAt == 0:
			if d := c.stuck(now, i); d > 0 {
				c.strike(now, i, stuckStrikes, fmt.Sprintf("no byte for %v", d.Round(10*time.Millisecond)))
			}
		}
	}
	c.judge(now)
}

// share says for people how far that is.
func (c *Chain) share(bytes int64) string {
	if c.cfg.Size == Unknown {
		return fmt.Sprintf("%d bytes", bytes)
	}
	return fmt.Sprintf("%d of %d bytes", bytes, c.cfg.Size)
}
