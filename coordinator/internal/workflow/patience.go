package workflow

import (
	"slices"
	"time"
)

// Nodes that are ready for a broadcast wait for the rest of their set, up to a point.
// Whoever comes too late for a chain needs another one, and the two share the
// source's link: that costs each node of the set up to the time of a broadcast. So
// the others go ahead as soon as they have lost as much by waiting, in sum, as a
// second chain would cost in sum – or at once if they are going to, by what is
// expected of those that are still on their way. Without expectation of the
// broadcast's time everybody waits, as long as the limits of the late nodes allow.

// partWays lets nodes go ahead whose patience is at its end, as a set of their own.
func (a *Automaton) partWays() (moved bool) {
	a.patience = time.Time{}
	if a.fetching {
		return false
	}
	for _, s := range slices.Clone(a.sets) {
		waiting, until := a.weigh(s)
		switch {
		case len(waiting) == 0:
		case !until.After(a.now):
			a.goAhead(s, waiting)
			moved = true
		case a.patience.IsZero() || until.Before(a.patience):
			a.patience = until
		}
	}
	return moved
}

// weigh finds the nodes of a set that wait for others before a broadcast, and until
// when they do. There are none if nobody is awaited, or if nothing is known of how long a
// broadcast takes.
func (a *Automaton) weigh(s *set) (waiting []*node, until time.Time) {
	for _, n := range s.members {
		if n.phase == ready && n.micro < len(a.at(n).Micros) && a.micro(n).broadcasts() {
			waiting = append(waiting, n)
		}
	}
	if len(waiting) == 0 || len(waiting) == len(s.members) {
		return nil, time.Time{}
	}
	first := waiting[0]
	each := a.micro(first).Expected
	var late []*node
	for _, n := range s.members {
		switch behind := n.macro < first.macro || n.macro == first.macro && n.micro < first.micro; {
		case n.macro == first.macro && n.micro == first.micro && n.phase == running:
			return nil, time.Time{} // they wait for a chain that runs
		case behind && n.phase != held:
			late = append(late, n)
		}
	}
	if each == 0 || len(late) == 0 {
		return nil, time.Time{}
	}
	cost := each * time.Duration(len(waiting)+len(late))
	var lost time.Duration // by now
	for _, n := range waiting {
		since := n.ready
		if a.here.After(since) {
			since = a.here
		}
		lost += a.now.Sub(since)
	}
	count := time.Duration(len(waiting))
	if last := a.expected(late, first); last.After(a.now) && lost+count*last.Sub(a.now) > cost {
		return waiting, a.now
	}
	return waiting, a.now.Add((cost - lost + count - 1) / count)
}

// expected is when the last of the late nodes is expected where first waits; zero if
// that is not known of any, or all of them should be there.
func (a *Automaton) expected(late []*node, first *node) (last time.Time) {
	for _, n := range late {
		if n.phase != running || a.micro(n).Expected == 0 {
			continue
		}
		at := n.ready.Add(a.micro(n).Expected)
		if at.Before(a.now) {
			continue // it is late already: for how long, nobody knows
		}
		rest := a.at(n).Micros[n.micro+1:]
		if n.macro < first.macro {
			rest = slices.Concat(rest, a.at(first).Micros[:first.micro])
		} else {
			rest = a.at(n).Micros[n.micro+1 : first.micro]
		}
		for _, m := range rest {
			at = at.Add(m.Expected)
		}
		if at.After(last) {
			last = at
		}
	}
	return last
}

// goAhead makes a set of the nodes that do not wait any more. Those that are late stay
// in the old one, and wait for each other in their turn.
func (a *Automaton) goAhead(s *set, waiting []*node) {
	from := s.shown()
	ahead := &set{}
	a.sets = append(a.sets, ahead)
	for _, n := range waiting {
		a.join(n, ahead)
		n.run = a.runOf(n, nil)
	}
	ahead.label, s.label = a.newLabel(), a.newLabel()
	a.say(Split{Set: from, Into: []SetOfNodes{{ahead.label, names(ahead.members)}, {s.label, names(s.members)}}})
}

// broadcasts tells whether the micro-step sends the image.
func (m *Micro) broadcasts() bool { return m.Op == nil && m.Name == SendEnvironment }
