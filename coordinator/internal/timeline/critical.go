package timeline

import (
	"slices"
	"time"
)

// Hold is a stretch of time in which the whole operation depended on one stay of
// one node: had that been shorter, the end would have come sooner.
type Hold struct {
	Node     string
	Step     int // index into Chart.Steps
	Attempt  int
	From, To time.Time
	// Beyond is how much longer the stay was than the median of the nodes in the
	// same step; not positive if this node was no slower than others.
	Beyond time.Duration
	Error  string
}

// tick is the resolution at which one stay counts as the cause of another one's start.
const tick = 20 * time.Millisecond

// critical goes back from the stay that ended last: before it the same node was
// in another step, or, if it had to wait for others, the last of those was.
func (c *Chart) critical() []Hold {
	row, at := c.last()
	var path []Hold
	end := c.End
	for row != nil {
		b := &row.Bars[at]
		path = append(path, Hold{
			Node: row.Node, Step: b.Step, Attempt: b.Attempt, From: b.Start, To: end, Error: b.Error,
			Beyond: b.End.Sub(b.Start) - c.Steps[b.Step].Median,
		})
		end = b.Start
		row, at = c.cause(row, at)
		if row != nil && row.Bars[at].End.Before(end) {
			end = row.Bars[at].End
		}
	}
	slices.Reverse(path)
	return path
}

// last is the stay that ended last.
func (c *Chart) last() (row *Row, at int) {
	for i := range c.Rows {
		bars := c.Rows[i].Bars
		if k := len(bars) - 1; k >= 0 && (row == nil || bars[k].End.After(row.Bars[at].End)) {
			row, at = &c.Rows[i], k
		}
	}
	return row, at
}

// cause is the stay after whose end another one could begin; nil if it was the first.
func (c *Chart) cause(row *Row, at int) (*Row, int) {
	b := &row.Bars[at]
	if b.Start.Sub(b.Ready) > tick {
		// It waited: for whoever of its cluster ended last before it could start.
		var found *Row
		which := 0
		for i := range c.Rows {
			other := &c.Rows[i]
			if other.Cluster != row.Cluster || other == row {
				continue
			}
			for k := range other.Bars {
				end := other.Bars[k].End
				if end.After(b.Ready) && !end.After(b.Start.Add(tick)) && (found == nil || end.After(found.Bars[which].End)) {
					found, which = other, k
				}
			}
		}
		if found != nil && found.Bars[which].Start.Before(b.Start) {
			return found, which
		}
	}
	if at == 0 {
		return nil, 0
	}
	return row, at - 1
}

// Held sums up the critical path: by step, longest first, how long the operation
// hung on it, and on which node for most of that time.
func (c *Chart) Held() []Held {
	byStep := make(map[int]*Held)
	longest := make(map[int]time.Duration)
	var all []*Held
	for _, h := range c.Critical {
		s := byStep[h.Step]
		if s == nil {
			s = &Held{Step: h.Step}
			byStep[h.Step] = s
			all = append(all, s)
		}
		took := h.To.Sub(h.From)
		s.Took += took
		if s.Node == "" || took > longest[h.Step] {
			longest[h.Step] = took
			s.Node, s.Beyond, s.Error = h.Node, h.Beyond, h.Error
		}
	}
	out := make([]Held, len(all))
	for i, s := range all {
		out[i] = *s
	}
	slices.SortStableFunc(out, func(a, b Held) int { return int(b.Took - a.Took) })
	return out
}

// Held is the share of one step in what an operation waited for.
type Held struct {
	Step   int // index into Chart.Steps
	Node   string
	Took   time.Duration
	Beyond time.Duration // of the node's stay over the median
	Error  string
}
