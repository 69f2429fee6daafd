package chain

import (
	"cmp"
	"slices"
	"time"
)

// Mode is what is done about a slow node.
type Mode uint8

// Modes.
const (
	ModeSide Mode = iota // it reads from the head, and nobody from it
	ModeWait             // it is only named
	ModeDrop             // it fails
)

// Policy says when a node is slow, and what is done about it (SPEC, section 8).
type Policy struct {
	Mode     Mode
	Share    float64       // of the rate that the others can sustain; 0: 0.5
	Patience time.Duration // 0: 3 s
}

func (p *Policy) fill() {
	p.Share = min(cmp.Or(p.Share, 0.5), 0.95)
	p.Patience = cmp.Or(p.Patience, 3*time.Second)
}

// What the highest rate of a STATUS period proves.
const (
	period = 200 * time.Millisecond // between two STATUS
	// A window that is filled at twice the rate shows at least this in one of two periods.
	seen = 1.35
)

// suspicion is a node that a chain waits for.
type suspicion struct {
	Limit
	since    time.Duration
	received int64         // by that node, then
	held     time.Duration // how long the chain waited for it since, less the time that it did not
	seen     time.Duration // when it was judged last
}

// judge looks for nodes that hold up their chain, once per tick.
func (c *Chain) judge(now time.Duration) {
	if !c.begun {
		return
	}
	if t := c.trial; t != nil {
		if now-t.since >= trialEnds || !c.needs(t.probe) {
			c.giveUp(now)
		}
		return
	}
	for run := range c.cfg.Chains {
		s := c.suspect(now, run)
		if s == nil || s.held < c.cfg.Slow.Patience {
			continue
		}
		base := float64(c.nodes[s.Node].received-s.received) / (now - s.since).Seconds()
		if c.everybody(s.Limit, base) {
			continue
		}
		foreseen, hopeless := c.foresee(s.Limit, base)
		switch {
		case c.cfg.Slow.Mode == ModeWait:
			if foreseen {
				c.blame(s.Node, s.Cause)
			}
		case now < c.nodes[s.Node].trialAt:
		case foreseen || !hopeless && s.held >= 2*c.cfg.Slow.Patience && now >= c.trialAt:
			c.try(now, run, s.Limit, base)
			return
		}
	}
}

// suspect keeps the suspicions of one chain up to date, and returns that of its limit now.
func (c *Chain) suspect(now time.Duration, run int) *suspicion {
	l, ok := c.locate(now, run)
	var current *suspicion
	c.suspicion[run] = slices.DeleteFunc(c.suspicion[run], func(s *suspicion) bool {
		d := now - s.seen
		s.seen = now
		if ok && s.Limit == l {
			s.held += d
			current = s
		} else {
			s.held -= d
		}
		return s.held < 0
	})
	if current == nil && ok {
		current = &suspicion{Limit: l, since: now, received: c.nodes[l.Node].received, seen: now}
		c.suspicion[run] = append(c.suspicion[run], current)
	}
	return current
}

// main is the nodes of a chain that still need bytes and were not taken out of it.
func (c *Chain) main(run int) []int {
	var nodes []int
	for _, j := range c.order {
		if n := &c.nodes[j]; n.run == run && !n.side && !n.branch && c.needs(j) {
			nodes = append(nodes, j)
		}
	}
	return nodes
}

// everybody tells whether most of the others are as slow as the suspect in what it is
// suspected of, so that the chain would gain nothing.
func (c *Chain) everybody(s Limit, base float64) bool {
	others := slices.DeleteFunc(c.main(s.run(c)), func(j int) bool { return j == s.Node })
	slow := 0
	for _, j := range others {
		switch l := &c.nodes[j].load; s.kind {
		case slowSink:
			if l.sinkRate > 0 && l.sinkRate*c.cfg.Slow.Share < base {
				slow++
			}
		case slowCPU:
			if l.waiting() < mostly {
				slow++
			}
		}
	}
	return len(others) == 0 || 2*slow > len(others)
}

func (l Limit) run(c *Chain) int { return c.nodes[l.Node].run }

// foresee tells whether the head and the nodes before the limit were seen to be fast
// enough for it to matter, or could have been seen and were not.
func (c *Chain) foresee(s Limit, base float64) (foreseen, hopeless bool) {
	enough := base / c.cfg.Slow.Share
	if c.cfg.Line > 0 && enough > c.cfg.Line {
		return false, true
	}
	peak, p := 0.0, c.nodes[s.Node].prev
	if p >= 0 {
		peak = c.nodes[p].load.peak
	}
	if s.kind != slowLink {
		peak = max(peak, c.nodes[s.Node].load.peak)
	}
	// They fill their windows before they feel the limit. Windows that are too small for
	// that show nothing.
	shows := p >= 0 && float64(c.cfg.Window) >= (enough-base)*period.Seconds()
	return peak >= enough, shows && peak < base*seen
}

// blame names node i as slow.
func (c *Chain) blame(i int, cause string) {
	if n := &c.nodes[i]; n.slow == "" {
		n.slow = cause
		c.emit(Slow{i, cause})
	}
}
