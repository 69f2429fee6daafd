package workflow

import (
	"slices"
	"strconv"
	"time"
)

// set is a group of nodes that wait for each other at collective micro-steps.
// At the start all nodes are in one. Nodes that fail split off into another,
// which repeats the instance or falls back, and stays a group of its own.
// Nodes of a set that are in the same macro-step are in the same attempt of the
// same instance of it.
type set struct {
	label   string  // number shown to users; empty for the root
	members []*node // under way
	good    []*node // that ended well, in order
	goodAt  time.Time
}

func (s *set) shown() string {
	if s.label == "" {
		return "0"
	}
	return s.label
}

// join moves a node into a set.
func (a *Automaton) join(n *node, s *set) {
	if n.set != nil {
		a.leave(n)
	}
	n.set = s
	s.members = append(s.members, n)
}

func (a *Automaton) leave(n *node) {
	n.set.members = slices.DeleteFunc(n.set.members, func(m *node) bool { return m == n })
}

func (a *Automaton) newLabel() string {
	a.lastSet++
	return strconv.Itoa(a.lastSet)
}

// target is the attempt that follows a failure; ok is false after the last one.
type target struct{ macro, instance, attempt int }

func (a *Automaton) after(n *node) (t target, ok bool) {
	switch {
	case n.attempt < a.at(n).Retries:
		return target{n.macro, n.instance, n.attempt + 1}, true
	case n.instance+1 < len(a.plan.Macros[n.macro].Instances):
		return target{n.macro, n.instance + 1, 0}, true
	}
	return target{}, false
}

func (n *node) place() target { return target{n.macro, n.instance, n.attempt} }

// decide sends nodes that failed to their next attempt, in their old set if all
// of it failed, else in another; or judges them if there is none.
func (a *Automaton) decide() {
	type group struct {
		set   *set
		macro int
	}
	var order []group
	groups := make(map[group][]*node)
	for _, n := range a.nodes {
		if n.phase == failing {
			g := group{n.set, n.macro}
			if groups[g] == nil {
				order = append(order, g)
			}
			groups[g] = append(groups[g], n)
		}
	}
	for _, g := range order {
		nodes := groups[g]
		next, ok := a.after(nodes[0])
		if !ok {
			for _, n := range nodes {
				a.judge([]*node{n}, VerdictKO, n.reason)
			}
			continue
		}
		a.regroup(g.set, nodes, next)
		for _, n := range nodes {
			n.instance, n.attempt = next.instance, next.attempt
			a.enterInstance(n)
		}
	}
}

// regroup puts nodes of a set that go to another attempt where they belong.
func (a *Automaton) regroup(s *set, nodes []*node, next target) {
	other := a.joinable(s, nodes[0].entered, next)
	if other == nil && len(nodes) == len(s.members) {
		return // all failed: they stay together
	}
	from := s.shown()
	if other == nil {
		other = &set{}
		a.sets = append(a.sets, other)
	}
	for _, n := range nodes {
		a.join(n, other)
	}
	if len(s.members) == 0 {
		return // the last of them went to join the others
	}
	s.label = a.newLabel()
	if other.label == "" {
		other.label = a.newLabel()
	}
	a.say(Split{Set: from, Into: []SetOfNodes{{s.label, names(s.members)}, {other.label, names(other.members)}}})
}

// joinable finds a set of nodes from the same origin that is about to do the same
// attempt, and has not begun anything together yet.
func (a *Automaton) joinable(not, origin *set, t target) *set {
	for _, s := range a.sets {
		if s == not || len(s.members) == 0 {
			continue
		}
		if !slices.ContainsFunc(s.members, func(n *node) bool {
			return n.entered != origin || n.place() != t || n.phase == held || a.pastGathering(n)
		}) {
			return s
		}
	}
	return nil
}

// pastGathering tells whether the node is in or after the first collective micro-step of its instance.
func (a *Automaton) pastGathering(n *node) bool {
	first := slices.IndexFunc(a.at(n).Micros, func(m Micro) bool { return m.Collective() })
	return first >= 0 && (n.micro > first || n.micro == first && n.phase == running)
}

// gathered tells whether a node may enter its micro-step as far as others are
// concerned. Before a collective one, and after one that is not raisable, all of
// the set must have come there.
func (a *Automaton) gathered(n *node) bool {
	micros := a.at(n).Micros
	collective := micros[n.micro].Collective()
	if !collective && (n.micro == 0 || micros[n.micro-1].Raisable) {
		return true
	}
	if a.fetching && micros[n.micro].broadcasts() {
		return false
	}
	for _, m := range n.set.members {
		before := m.macro < n.macro || m.macro == n.macro && m.phase != held && m.micro < n.micro
		if before || collective && m.phase == running && m.macro == n.macro && m.micro == n.micro {
			return false
		}
	}
	return !collective || !a.expectsMore(n)
}

// expectsMore tells whether nodes that are now in an earlier attempt of the same
// collective micro-step may still fail and come to share this one.
func (a *Automaton) expectsMore(n *node) bool {
	for _, t := range a.tasks {
		m := t.nodes[0]
		if m.set == n.set || m.entered != n.entered || m.macro != n.macro || a.micro(m).Name != a.micro(n).Name {
			continue
		}
		if next, ok := a.after(m); ok && next == n.place() {
			return true
		}
	}
	return false
}

// release lets nodes that wait after a non-raisable instance go on together, in
// the set that they came in, when no other node of it is still on the way.
func (a *Automaton) release() (moved bool) {
	for _, n := range a.nodes {
		if n.phase != held || a.awaited(n) {
			continue
		}
		origin, label, macro := n.entered, n.enteredLabel, n.macro
		if !slices.Contains(a.sets, origin) {
			a.sets = append(a.sets, origin)
		}
		for _, m := range a.nodes {
			if m.phase == held && m.entered == origin && m.macro == macro {
				a.join(m, origin)
				origin.label = label
				a.enterMacro(m, macro+1)
				moved = true
			}
		}
	}
	return moved
}

// awaited tells whether a held node has to wait for another one.
func (a *Automaton) awaited(n *node) bool {
	return slices.ContainsFunc(a.nodes, func(m *node) bool {
		return m.phase != over && m.phase != held && (m.macro == n.macro && m.entered == n.entered || m.macro < n.macro && m.set == n.entered)
	})
}
