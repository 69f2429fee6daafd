package chain

import (
	"cmp"
	"slices"
	"time"
)

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
