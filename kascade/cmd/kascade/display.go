package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"kadeploy/kascade"
)

// plainEvery is the time between two lines of progress where there is no terminal.
const plainEvery = 5 * time.Second

// display shows how it goes: drawn on a terminal, as lines on a pipe, or as JSON.
type display struct {
	screen *screen
	json   *json.Encoder // nil: for people
	names  []string
	last   time.Time // a plain line was printed
	begin  time.Time
}

func (o *options) newDisplay() *display {
	d := &display{screen: o.screen, names: o.names, last: time.Now(), begin: time.Now()}
	if o.json {
		d.json = json.NewEncoder(o.out)
	}
	return d
}

func (d *display) close() { d.screen.draw(nil) }

func (d *display) line(format string, args ...any) {
	fmt.Fprintf(d.screen, "kascade: "+format+"\n", args...)
}

// launching says how far the launch is.
func (d *display) launching(up, failed int) {
	if d.json != nil {
		return
	}
	line := fmt.Sprintf("starting nodes: %d of %d are up", up, len(d.names))
	if failed > 0 {
		line += fmt.Sprintf(", %d failed", failed)
	}
	d.screen.draw([]string{line})
}

// launched says who is up.
func (d *display) launched(up int, failed map[string]error, elapsed time.Duration) {
	if d.json != nil {
		d.json.Encode(jsonLaunch{"launch", elapsed.Seconds(), up, reasons(failed)})
		return
	}
	d.screen.draw(nil)
	if len(failed) > 0 && up > 0 {
		d.line("%d nodes are up after %v, %d are not", up, elapsed.Round(10*time.Millisecond), len(failed))
	}
}

func (d *display) progress(p kascade.Progress) {
	switch {
	case d.json != nil:
		d.json.Encode(toJSON(p))
	case d.screen.term != nil:
		d.screen.draw(picture(p))
	case time.Since(d.last) >= plainEvery:
		d.last = time.Now()
		d.line("%s", picture(p)[0])
	}
}

// Limits of the drawn picture.
const (
	maxSlow   = 4 // lines
	maxFailed = 4
)

// picture is the chain for people: how far all are, who holds them up, who is slow or failed.
func picture(p kascade.Progress) []string {
	var done, failed, waiting int
	var least int64 = -1
	var slow, bad []string
	for _, n := range p.Nodes {
		switch n.State {
		case kascade.Done:
			done++
		case kascade.Failed, kascade.Relaying:
			failed++
			bad = append(bad, fmt.Sprintf("  failed: %s: %v", n.Name, n.Err))
		case kascade.Waiting:
			waiting++
		}
		if n.State == kascade.Receiving || n.State == kascade.Finishing {
			if !n.Side && (least < 0 || n.Consumed < least) {
				least = n.Consumed
			}
			if n.Slow != "" {
				slow = append(slow, slowLine(n, p.Size))
			}
		}
	}
	lines := []string{summary(p, least, done, failed, waiting)}
	if p.Slowest != "" {
		lines = append(lines, fmt.Sprintf("  held up by %s: %s", p.Slowest, p.Why))
	}
	lines = append(lines, few(slow, maxSlow, "slow nodes")...)
	return append(lines, few(bad, maxFailed, "failed nodes")...)
}

// summary is the first line: the share that every node of the chains has, rate, time left.
func summary(p kascade.Progress, least int64, done, failed, waiting int) string {
	var b strings.Builder
	switch {
	case least >= 0 && p.Size > 0:
		fmt.Fprintf(&b, "%3.0f %%  %s of %s", 100*float64(least)/float64(p.Size), size(float64(least)), size(float64(p.Size)))
	case least >= 0:
		fmt.Fprintf(&b, "%s", size(float64(least)))
	}
	if least >= 0 {
		fmt.Fprintf(&b, "  %s/s", size(p.Rate))
		b.WriteString("  ")
	}
	if p.Left > 0 {
		fmt.Fprintf(&b, "%v left  ", p.Left.Round(time.Second))
	}
	fmt.Fprintf(&b, "%d of %d nodes done", done, len(p.Nodes))
	if failed > 0 {
		fmt.Fprintf(&b, ", %d failed", failed)
	}
	if waiting > 0 {
		fmt.Fprintf(&b, ", %d not ready", waiting)
	}
	return b.String()
}

func slowLine(n kascade.NodeProgress, total int64) string {
	s := fmt.Sprintf("  slow: %s: %s", n.Name, n.Slow)
	if n.Side {
		s += "; goes on beside the chain"
	}
	if total > 0 {
		s += fmt.Sprintf(", %.0f %%", 100*float64(n.Consumed)/float64(total))
	}
	return s + fmt.Sprintf(", %s/s", size(n.Rate))
}

// few is the first of some lines, and how many more there are.
func few(lines []string, limit int, what string) []string {
	if len(lines) <= limit {
		return lines
	}
	return append(lines[:limit:limit], fmt.Sprintf("  and %d more %s", len(lines)-limit, what))
}

func (d *display) result(r *kascade.Result, src *source) {
	if d.json != nil {
		d.json.Encode(resultJSON(r, src))
		return
	}
	d.screen.draw(nil)
	for _, name := range d.names {
		if err := r.Nodes[name]; err != nil {
			d.line("%s failed: %s", name, printable(err.Error()))
		}
	}
	for _, n := range r.Slow {
		if r.Nodes[n.Name] == nil {
			beside := ""
			if n.Side {
				beside = "; it went on beside the chain"
			}
			d.line("%s was slow: %s%s", n.Name, n.Cause, beside)
		}
	}
	total := float64(max(0, src.size()))
	elapsed := r.Elapsed.Round(time.Millisecond)
	if r.Failed() == len(r.Nodes) {
		d.line("no node of %d has a copy, after %v", len(r.Nodes), elapsed)
		return
	}
	d.line("%s to %d of %d nodes in %v, %s/s", size(total), len(r.Nodes)-r.Failed(), len(r.Nodes), elapsed, size(total/max(r.Elapsed.Seconds(), 1e-9)))
}

// reasons is errors as texts.
func reasons(failed map[string]error) map[string]string {
	m := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(failed)) {
		m[name] = failed[name].Error()
	}
	return m
}

// size is a number of bytes for people.
func size(n float64) string {
	for _, unit := range []string{"B", "KiB", "MiB", "GiB"} {
		if n < 1000 {
			return fmt.Sprintf("%.3g %s", n, unit)
		}
		n /= 1024
	}
	return fmt.Sprintf("%.4g TiB", n)
}
