package chain

import (
	"fmt"
	"slices"
	"time"
)

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
