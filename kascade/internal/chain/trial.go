package chain

import (
	"fmt"
	"slices"
	"time"
)

// Times and bounds of a trial.
const (
	trialSettles = 150 * time.Millisecond // from the new connections to the first measurement
	trialMeasure = 150 * time.Millisecond // at least, between two
	trialEnds    = 2 * time.Second        // with or without measurement
	// Two that share one line have half of it each; who is as fast as before has a line of its own.
	trialKeeps   = 0.75
	trialBackoff = 4 // times longer to wait after each trial that proved nothing
)

// trial is the proof that nodes were slow: without them the others are faster. The
// suspects are taken out of their chain, and put back if that is not so. The head feeds
// them meanwhile with all that they take.
type trial struct {
	run      int
	suspects []suspect
	since    time.Duration // when the last of them was taken out
	base     float64       // bytes per second of the chain, before
	probe    int           // the node that tells whether the others are faster
	start    int64         // what probe had received then
	marked   time.Duration // when the measurement began; 0: it has not
	at       int64         // what probe had received then
}

// suspect is a node that was taken out of its chain.
type suspect struct {
	Limit
	from int   // its previous in the chain
	at   int64 // what it had received when the measurement began
}

// try begins a trial, unless too much of the chain would be out of it.
func (c *Chain) try(now time.Duration, run int, s Limit, base float64) {
	c.trial = &trial{run: run, base: base}
	if !c.takeOut(now, s) {
		c.trial = nil
		c.postpone(now, s.Node)
	}
}

// takeOut adds a suspect to the trial, unless too much of the chain would be out of it,
// or nobody would be left to tell whether it is faster.
func (c *Chain) takeOut(now time.Duration, s Limit) bool {
	t, n := c.trial, &c.nodes[s.Node]
	in, out := 0, 0
	for _, j := range c.order {
		switch m := &c.nodes[j]; {
		case m.run != t.run || m.state == Failed:
		case m.side:
			out++
		case !m.branch:
			in++
		}
	}
	probe := c.reader(t.run, s.Node)
	if probe < 0 {
		probe = n.prev
	}
	if probe < 0 || len(t.suspects) >= max(1, (in+len(t.suspects))/4) || 2*(out+1) > in+out {
		return false
	}
	t.suspects = append(t.suspects, suspect{Limit: s, from: n.prev})
	t.probe, t.start, t.since, t.marked = probe, c.nodes[probe].received, now, 0
	n.side, c.dirty = true, true
	for _, j := range slices.Backward(c.order) {
		if c.nodes[j].prev == s.Node && c.needs(j) {
			c.attach(now, j, c.previous(j, false))
		}
	}
	if n.prev != Head && c.needs(s.Node) {
		c.attach(now, s.Node, Head)
	}
	return true
}

// observe measures in a trial how fast the chain is, when node i has told how far it is.
func (c *Chain) observe(now time.Duration, i int) {
	t := c.trial
	if t == nil || i != t.probe {
		return
	}
	received := c.nodes[i].received
	if received == c.cfg.Size { // sooner than it could be measured
		if rate := float64(received-t.start) / max(now-t.since, period/4).Seconds(); c.faster(rate) {
			c.convict(now, rate, false)
		} else {
			c.giveUp(now)
		}
		return
	}
	if now-t.since < trialSettles {
		return
	}
	if t.marked == 0 {
		t.marked, t.at = now, received
		for k := range t.suspects {
			t.suspects[k].at = c.nodes[t.suspects[k].Node].received
		}
		return
	}
	span := now - t.marked
	if span < trialMeasure {
		return
	}
	rate := float64(received-t.at) / span.Seconds()
	last := t.suspects[len(t.suspects)-1]
	alone := float64(c.nodes[last.Node].received-last.at) / span.Seconds()
	switch {
	case c.faster(rate):
		c.convict(now, rate, c.faster(alone))
	case rate < trialKeeps*t.base:
		c.giveUp(now)
	case span < 2*trialMeasure:
	case last.kind == slowLink && last.from != Head && c.faster(alone):
		if !c.accusePrevious(now, last) {
			c.giveUp(now)
		}
	case i == last.from || !c.takeOut(now, c.limit(i, c.kindOf(i))):
		c.giveUp(now)
	}
}

// faster tells whether a rate is such that the chain was too slow before.
func (c *Chain) faster(rate float64) bool { return rate*c.cfg.Slow.Share >= c.trial.base }

// kindOf is what may be slow of a node that holds up the chain although another was taken out.
func (c *Chain) kindOf(i int) limitKind {
	if l := &c.nodes[i].load; l.noRoom >= mostly {
		return sinkOrCPU(l)
	}
	return slowLink
}

// accusePrevious is done when the suspect is fast from the head, and its reader, too, is
// slow from its previous: that one's way out is what is slow.
func (c *Chain) accusePrevious(now time.Duration, last suspect) bool {
	t := c.trial
	t.suspects = t.suspects[:len(t.suspects)-1]
	c.nodes[last.Node].side = false
	ok := c.takeOut(now, Limit{Node: last.from, kind: slowWayOut, Cause: fmt.Sprintf("its link to %s", c.name(last.Node))})
	if p := c.previous(last.Node, false); c.needs(last.Node) && c.nodes[last.Node].prev != p {
		c.attach(now, last.Node, p)
	}
	return ok
}

// convict ends a trial that has proved that the suspects were slow.
func (c *Chain) convict(now time.Duration, rate float64, lastIsFast bool) {
	t := c.trial
	c.trial, c.failures = nil, 0
	clear(c.suspicion)
	c.trialAt = now + 2*trialBackoff*c.cfg.Slow.Patience // it is likely that the rest is equal
	for k, s := range t.suspects {
		n := &c.nodes[s.Node]
		if n.state == Failed || n.released {
			continue
		}
		// Slow from its previous and from the head: it is its own link.
		if s.kind == slowLink && !(k == len(t.suspects)-1 && lastIsFast && s.from != Head) {
			s.Cause = "its link"
		}
		c.blame(s.Node, s.Cause)
		n.branch, c.dirty = true, true
		switch {
		case c.cfg.Slow.Mode == ModeDrop:
			c.stop(s.Node, fmt.Sprintf("too slow: %s; it kept the chain at %s, the others reach %s", s.Cause, perSecond(t.base), perSecond(rate)))
		case c.branches() > maxBranches:
			c.drop(s.Node)
			n.prev = none // until one of the others is done
		}
	}
}

// giveUp ends a trial that has proved nothing: everybody goes back to his place.
func (c *Chain) giveUp(now time.Duration) {
	t := c.trial
	c.trial = nil
	clear(c.suspicion)
	back := map[int]bool{}
	for _, s := range t.suspects {
		c.postpone(now, s.Node)
		c.nodes[s.Node].side = false
		back[s.Node] = true
	}
	for _, j := range slices.Backward(c.order) {
		if n := &c.nodes[j]; n.run == t.run && !n.side && !n.branch && n.prev != none && c.needs(j) {
			if p := c.previous(j, false); p != n.prev && (back[j] || back[p]) {
				c.attach(now, j, p)
			}
		}
	}
	c.dirty = true
}

// postpone makes the next trial of node i wait longer each time, and so the next of anybody
// that nothing speaks for.
func (c *Chain) postpone(now time.Duration, i int) {
	later := func(failures *int) time.Duration {
		wait := 2 * c.cfg.Slow.Patience
		for range min(*failures, 6) {
			wait *= trialBackoff
		}
		*failures++
		return now + wait
	}
	n := &c.nodes[i]
	n.trialAt, c.trialAt = later(&n.failures), later(&c.failures)
}

// perSecond is a rate for people.
func perSecond(rate float64) string {
	for _, unit := range []string{"B/s", "KiB/s", "MiB/s"} {
		if rate < 1024 {
			return fmt.Sprintf("%.3g %s", rate, unit)
		}
		rate /= 1024
	}
	return fmt.Sprintf("%.3g GiB/s", rate)
}
