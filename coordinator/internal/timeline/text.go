package timeline

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

const (
	// maxRows is up to how many nodes are drawn in a text, unless all are asked for.
	maxRows = 40
	// minColumns is the narrowest picture that still tells something.
	minColumns = 24
)

// marks are the signs of steps, in their order; more steps begin anew.
const marks = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

const (
	waiting = '·' // for others
	queued  = '-' // for a place in the step's window
	failing = '!' // the end of a stay that failed
	outside = ' '
)

// WriteText draws the chart in lines of a given width, in columns, and says below
// what the signs mean and what held the operation back. With all, every node is
// drawn, else only as many as one screen holds, those that ended last first.
func (c *Chart) WriteText(w io.Writer, width int, all bool) error {
	var b strings.Builder
	if len(c.Rows) == 0 {
		_, err := io.WriteString(w, "No node was in any step.\n")
		return err
	}
	rows := c.Rows
	if !all && len(rows) > maxRows {
		rows = c.latest(maxRows)
	}
	label := 4
	for i := range rows {
		label = max(label, min(24, utf8.RuneCountInString(rows[i].Node)))
	}
	columns := max(minColumns, width-label-2)
	c.axis(&b, label, columns)
	for i := range rows {
		fmt.Fprintf(&b, "%-*s |%s\n", label, cut(rows[i].Node, label), strings.TrimRight(string(c.draw(&rows[i], columns)), " "))
	}
	if len(rows) < len(c.Rows) {
		fmt.Fprintf(&b, "... and %d more nodes; these are the ones that ended last\n", len(c.Rows)-len(rows))
	}
	c.legend(&b)
	c.writeHeld(&b)
	_, err := io.WriteString(w, b.String())
	return err
}

// latest are the n rows that ended last, in their order.
func (c *Chart) latest(n int) []Row {
	order := make([]int, len(c.Rows))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return c.Rows[b].end().Compare(c.Rows[a].end()) })
	order = order[:n]
	slices.Sort(order)
	out := make([]Row, n)
	for i, k := range order {
		out[i] = c.Rows[k]
	}
	return out
}

func (r *Row) end() time.Time {
	if len(r.Bars) == 0 {
		return time.Time{}
	}
	return r.Bars[len(r.Bars)-1].End
}

// axis writes seconds above the rows.
func (c *Chart) axis(b *strings.Builder, label, columns int) {
	total := c.End.Sub(c.Begin)
	line := []rune(strings.Repeat(" ", label+2+columns+8))
	for _, t := range ticks(total, columns/12+1) {
		at := label + 2 + int(float64(t)/float64(max(total, 1))*float64(columns-1))
		copy(line[at:], []rune(seconds(t)))
	}
	fmt.Fprintln(b, strings.TrimRight(string(line), " "))
}

// ticks are about n round moments of a stretch of time.
func ticks(total time.Duration, n int) []time.Duration {
	step := time.Second / 10
	for _, nice := range []int{1, 2, 5, 10, 20, 50, 100, 300, 600, 1200, 3000, 6000, 18000, 36000} {
		step = time.Duration(nice) * time.Second / 10
		if total/step <= time.Duration(max(n, 1)) {
			break
		}
	}
	var all []time.Duration
	for t := time.Duration(0); t <= total; t += step {
		all = append(all, t)
	}
	return all
}

func seconds(d time.Duration) string {
	switch {
	case d >= time.Minute && d%time.Second == 0:
		return fmt.Sprintf("%d:%02d", int(d.Minutes()), int(d.Seconds())%60)
	case d%time.Second != 0:
		return fmt.Sprintf("%.1fs", d.Seconds())
	}
	return fmt.Sprintf("%ds", int(d.Seconds()))
}

// draw is one row: in each column the sign of what took most of its time.
func (c *Chart) draw(r *Row, columns int) []rune {
	line := []rune(strings.Repeat(string(outside), columns))
	share := make([]time.Duration, columns)
	total := max(c.End.Sub(c.Begin), 1)
	width := float64(total) / float64(columns)
	fill := func(from, to time.Time, sign rune) {
		a, z := float64(from.Sub(c.Begin)), float64(to.Sub(c.Begin))
		for k := max(0, int(a/width)); k < columns && float64(k)*width < z; k++ {
			in := time.Duration(min(z, float64(k+1)*width) - max(a, float64(k)*width))
			if in > share[k] {
				share[k], line[k] = in, sign
			}
		}
	}
	for _, b := range r.Bars {
		fill(b.Ready, b.Start, waiting)
		fill(b.Start, b.Begin, queued)
		fill(b.Begin, b.End, mark(b.Step))
	}
	for _, b := range r.Bars { // a failure is shown however short it was
		if b.Error != "" {
			line[min(columns-1, max(0, int(float64(b.End.Sub(c.Begin))/width)))] = failing
		}
	}
	return line
}

func mark(step int) rune { return rune(marks[step%len(marks)]) }

func (c *Chart) legend(b *strings.Builder) {
	fmt.Fprintf(b, "\n%-58s %6s %9s %9s  %s\n", "", "stays", "median", "longest", "by")
	for i := range c.Steps {
		s := &c.Steps[i]
		fmt.Fprintf(b, "%c %-56s %6d %8.2fs %8.2fs  %s\n", mark(i), s.Name(), s.Nodes, s.Median.Seconds(), s.Longest.Seconds(), s.Slowest)
	}
	fmt.Fprintf(b, "%c waiting for others   %c queued for a place in the window of reboots   %c failed\n", waiting, queued, failing)
}

// writeHeld says what the operation hung on.
func (c *Chart) writeHeld(b *strings.Builder) {
	total := c.End.Sub(c.Begin)
	fmt.Fprintf(b, "\nWhat its %.1f s hung on, longest first:\n", total.Seconds())
	for i, h := range c.Held() {
		if i == 8 || i > 0 && h.Took < total/100 {
			break
		}
		fmt.Fprintf(b, "%8.1f s  %-48s %s%s\n", h.Took.Seconds(), c.Steps[h.Step].Name(), h.Node, c.remark(h))
	}
}

// remark tells what was unusual about a stay.
func (c *Chart) remark(h Held) string {
	var notes []string
	if c.Steps[h.Step].Nodes > 1 && h.Beyond > 500*time.Millisecond && h.Beyond > c.Steps[h.Step].Median/10 {
		notes = append(notes, fmt.Sprintf("%.1f s longer than the median", h.Beyond.Seconds()))
	}
	if h.Error != "" {
		notes = append(notes, "it failed there")
	}
	if len(notes) == 0 {
		return ""
	}
	return " (" + strings.Join(notes, "; ") + ")"
}

func cut(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n-1]) + "…"
	}
	return s
}
