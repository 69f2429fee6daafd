package chain

// View is what the head knows about one node.
type View struct {
	State              State
	Reason             string // of Failed, and of Relaying
	Previous           int    // Head if it was never attached
	Received, Consumed int64
	Full               bool
}

// View describes node i.
func (c *Chain) View(i int) View {
	n := &c.nodes[i]
	return View{State: n.state, Reason: n.reason, Previous: max(n.prev, Head), Received: n.received, Consumed: n.consumed, Full: n.full}
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
