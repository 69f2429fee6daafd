package chain

import "time"

// dead tells whether node i has been silent for too long. What its readers get is a
// sign of life, too. Silence alone proves little on a machine that is loaded: the short
// one counts only if somebody who speaks suffers from it.
func (c *Chain) dead(now time.Duration, i int) bool {
	silence := now - c.nodes[i].heard
	if silence < c.suspectAfter() {
		return false
	}
	for _, j := range c.order {
		if r := &c.nodes[j]; r.prev == i && c.needs(j) {
			silence = min(silence, now-r.advanced)
		}
	}
	return silence >= c.cfg.DeadAfter || c.missed(now, i)
}

// silent tells whether node i has not been heard for so long that it may be dead.
func (c *Chain) silent(now time.Duration, i int) bool {
	return now-c.nodes[i].heard >= c.suspectAfter()
}

// missed tells whether somebody who speaks suffers from the silence of node i: a reader
// that has room and gets nothing, or, if nobody reads from it, its previous whose window
// is full. Neighbours that are silent, too, are passed over, so that all dead ones that
// stand together are found at the same time.
func (c *Chain) missed(now time.Duration, i int) bool {
	readers := 0
	for _, j := range c.order {
		r := &c.nodes[j]
		if r.prev != i || !c.needs(j) {
			continue
		}
		readers++
		if c.silent(now, j) && c.missed(now, j) || !c.silent(now, j) && !r.full && now-r.advanced >= c.suspectAfter() {
			return true
		}
	}
	if readers > 0 || !c.needs(i) {
		return false
	}
	p := c.nodes[i].prev
	for p >= 0 && c.silent(now, p) {
		p = c.nodes[p].prev
	}
	return p >= 0 && c.nodes[p].full
}

// stuck tells for how long node i has got nothing although it has room, its previous has
// more, and both live; 0 if that is not long enough to mean something.
func (c *Chain) stuck(now time.Duration, i int) time.Duration {
	n := &c.nodes[i]
	nothing := now - n.advanced
	switch {
	case n.full || n.paced || c.silent(now, i):
		return 0
	case n.prev == Head && c.to > n.received && nothing >= c.cfg.DeadAfter:
		return nothing
	case n.prev >= 0 && c.nodes[n.prev].received > n.received && !c.silent(now, n.prev) && nothing >= c.suspectAfter():
		return nothing
	}
	return 0
}
