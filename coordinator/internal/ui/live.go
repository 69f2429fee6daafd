// Package ui draws the live view of an operation on a terminal: a few lines at
// the bottom that are redrawn in place while ordinary lines scroll above them.
// It is handed pictures and the time, and never asks the server.
package ui

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"kadeploy/coordinator/internal/workflow"
)

// Live is the live view. Its methods are called from one goroutine.
type Live struct {
	out   io.Writer
	width func() int // columns of the terminal now
	color bool
	drawn int // lines of the view that stand on the terminal now
	frame int
}

// NewLive makes a view that draws on out.
func NewLive(out io.Writer, width func() int, color bool) *Live {
	return &Live{out: out, width: width, color: color}
}

// Draw replaces the view by a new picture.
func (l *Live) Draw(live workflow.Live, now time.Time) {
	lines := Lines(live, now, l.frame, l.color)
	l.frame++
	l.replace(lines)
}

// Typed tells the view that the user has pressed Enter: the terminal's echo has
// moved the cursor one line down.
func (l *Live) Typed() {
	if l.drawn > 0 {
		l.drawn++
	}
}

// Erase takes the view off the terminal; the cursor is then at the start of an
// empty line, where ordinary text goes.
func (l *Live) Erase() { l.replace(nil) }

func (l *Live) replace(lines []string) {
	var b strings.Builder
	if l.drawn > 0 {
		// Cursor up, carriage return, erase to the end of the screen (ECMA-48 CUU, ED).
		fmt.Fprintf(&b, "\x1b[%dA\r\x1b[J", l.drawn)
	}
	width := l.width()
	for _, line := range lines {
		b.WriteString(Clip(line, width-1))
		b.WriteByte('\n')
	}
	l.drawn = len(lines)
	if b.Len() > 0 {
		io.WriteString(l.out, b.String()) // a terminal that is gone cannot be told so
	}
}

// maxFailed is how many failed nodes the view names.
const maxFailed = 5

// Lines is the picture as lines of text, not clipped.
func Lines(live workflow.Live, now time.Time, frame int, color bool) []string {
	p := painter(color)
	var lines []string
	for _, m := range live.Macros {
		lines = append(lines, macroLine(m, live.Progress, now, frame, p))
	}
	if pr := live.Progress; pr != nil && pr.Slowest != "" {
		lines = append(lines, p(yellow, fmt.Sprintf("    %s holds the others back: %s", pr.Slowest, pr.Reason)))
	}
	for i, n := range live.Failed {
		if i == maxFailed {
			lines = append(lines, p(red, fmt.Sprintf("  ✗ and %d more", len(live.Failed)-i)))
			break
		}
		lines = append(lines, p(red, "  ✗ "+n.Node)+" "+firstLine(n.Error))
	}
	return lines
}

func macroLine(m workflow.LiveMacro, pr *workflow.Progress, now time.Time, frame int, p func(color, text string) string) string {
	running := 0
	for _, n := range m.Running {
		running += n
	}
	total := m.Waiting + running + m.Done + m.Failed
	mark, tint := "·", dim
	switch {
	case running > 0:
		mark, tint = string([]rune("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏")[frame%10]), cyan
	case total > 0 && m.Failed == total:
		mark, tint = "✗", red
	case total > 0 && m.Done+m.Failed == total:
		mark, tint = "✓", green
	}
	var b strings.Builder
	b.WriteString(p(tint, fmt.Sprintf("%s %-18s", mark, m.Name)))
	fmt.Fprintf(&b, " %d/%d done", m.Done, total)
	if m.Failed > 0 {
		b.WriteString(p(red, fmt.Sprintf(", %d failed", m.Failed)))
	}
	if !m.Started.IsZero() {
		fmt.Fprintf(&b, "  %s", duration(cmp.Or(m.Ended, now).Sub(m.Started)))
	}
	if running > 0 {
		b.WriteString("  " + microSteps(m.Running))
		if _, ok := m.Running["send_environment"]; ok && pr != nil && pr.Total > 0 {
			b.WriteString("  " + transfer(pr))
		}
	}
	return b.String()
}

// microSteps says how many nodes are in which micro-step, the fullest first.
func microSteps(running map[string]int) string {
	names := make([]string, 0, len(running))
	for name := range running {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int {
		return cmp.Or(cmp.Compare(running[b], running[a]), strings.Compare(a, b))
	})
	var parts []string
	for _, name := range names {
		parts = append(parts, fmt.Sprintf("%s(%d)", name, running[name]))
	}
	return strings.Join(parts, " ")
}

// transfer says how far a broadcast is: share, rate and the time left.
func transfer(pr *workflow.Progress) string {
	text := fmt.Sprintf("%3d%% %s/s", pr.Done*100/pr.Total, Bytes(pr.Rate))
	if pr.Rate > 0 && pr.Done < pr.Total {
		left := time.Duration(float64(pr.Total-pr.Done) / pr.Rate * float64(time.Second))
		text += " ETA " + duration(left)
	}
	return text
}

func duration(d time.Duration) string {
	d = max(d, 0).Round(time.Second)
	if d < time.Minute {
		return fmt.Sprintf("%ds", int(d.Seconds()))
	}
	return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
}

// Bytes is a size for people, in binary units.
func Bytes(n float64) string {
	for _, unit := range []string{"B", "KiB", "MiB", "GiB"} {
		if n < 1024 {
			if unit == "B" {
				return fmt.Sprintf("%.0f B", n)
			}
			return fmt.Sprintf("%.1f %s", n, unit)
		}
		n /= 1024
	}
	return fmt.Sprintf("%.1f TiB", n)
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return line
}
