package chain

import "time"

// View is what the head knows about one node.
type View struct {
	State              State
	Reason             string // of Failed, and of Relaying
	Previous           int    // Head if it was never attached
	Received, Consumed int64
	Full               bool
	Slow               string // why it holds, or held, its chain up
	Side               bool   // it was taken out of its chain for that
	Branch             bool   // it is fed beside the chains: it is slow or came late
	Chain              int    // number of the chain that it belongs to
}

// View describes node i.
func (c *Chain) View(i int) View {
	n := &c.nodes[i]
	return View{
		State: n.state, Reason: n.reason, Previous: max(n.prev, Head), Received: n.received, Consumed: n.consumed, Full: n.full,
		Slow: n.slow, Side: n.side && n.slow != "", Branch: n.branch, Chain: n.run,
	}
}

// Slowest is what the chain that is least far waits for now; false if no node holds it up
// or it is not known.
func (c *Chain) Slowest(now time.Duration) (Limit, bool) {
	var slowest Limit
	found := false
	for run := range c.cfg.Chains {
		l, ok := c.locate(now, run)
		if ok && (!found || c.nodes[l.Node].received < c.nodes[slowest.Node].received) {
			slowest, found = l, true
		}
	}
	return slowest, found
}

// Order is the nodes in their places, and after them those that have none.
func (c *Chain) Order() []int {
	placed := make([]bool, len(c.nodes))
	order := append([]int(nil), c.order...)
	for _, i := range order {
		placed[i] = true
	}
	for i := range c.nodes {
		if !placed[i] {
			order = append(order, i)
		}
	}
	return order
}
