package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/term"

	"kadeploy/kascade"
)

// display shows progress on a terminal, or as JSON; on a pipe only the result.
type display struct {
	errs  io.Writer
	width int // of the terminal; 0: none
	json  *json.Encoder
	names []string
}

func (o *options) newDisplay() *display {
	d := &display{errs: o.errs, names: o.names}
	if o.json {
		d.json = json.NewEncoder(o.out)
	} else if f, ok := o.errs.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		d.width = 80
		if w, _, err := term.GetSize(int(f.Fd())); err == nil {
			d.width = w
		}
	}
	return d
}

// jsonNode is one node in the JSON output. Sizes are bytes, rates bytes per second.
type jsonNode struct {
	Name     string  `json:"name"`
	State    string  `json:"state"`
	Previous string  `json:"previous,omitempty"`
	Received int64   `json:"received"`
	Consumed int64   `json:"consumed"`
	Rate     float64 `json:"rate"`
	Full     bool    `json:"full"`
	Error    string  `json:"error,omitempty"`
}

func (d *display) progress(p kascade.Progress) {
	switch {
	case d.json != nil:
		nodes := make([]jsonNode, len(p.Nodes))
		for i, n := range p.Nodes {
			nodes[i] = jsonNode{Name: n.Name, State: string(n.State), Previous: n.Previous, Received: n.Received, Consumed: n.Consumed, Rate: n.Rate, Full: n.Full}
			if n.Err != nil {
				nodes[i].Error = n.Err.Error()
			}
		}
		d.json.Encode(map[string]any{"event": "progress", "elapsed": p.Elapsed.Seconds(), "size": p.Size, "sent": p.Sent, "nodes": nodes})
	case d.width > 0:
		line := progressLine(p)
		if len(line) >= d.width {
			line = line[:d.width-1]
		}
		fmt.Fprintf(d.errs, "\r\x1b[K%s", line)
	}
}

// progressLine says how far the slowest node is that still receives, and what is wrong.
func progressLine(p kascade.Progress) string {
	done, failed := 0, 0
	var slowest *kascade.NodeProgress
	for i := range p.Nodes {
		switch n := &p.Nodes[i]; n.State {
		case kascade.Done:
			done++
		case kascade.Failed, kascade.Relaying:
			failed++
		default:
			if slowest == nil || n.Consumed < slowest.Consumed {
				slowest = n
			}
		}
	}
	var b strings.Builder
	if slowest != nil {
		fmt.Fprintf(&b, "%3.0f %%  %s/s", 100*float64(slowest.Consumed)/float64(max(1, p.Size)), size(slowest.Rate))
		if slowest.Rate > 0 {
			left := time.Duration(float64(p.Size-slowest.Consumed) / slowest.Rate * float64(time.Second))
			fmt.Fprintf(&b, "  %v left", left.Round(time.Second))
		}
		fmt.Fprintf(&b, "  last: %s", slowest.Name)
		if slowest.Full {
			b.WriteString(" (its output is slow)")
		}
	}
	fmt.Fprintf(&b, "  %d of %d done", done, len(p.Nodes))
	if failed > 0 {
		fmt.Fprintf(&b, ", %d failed", failed)
	}
	return b.String()
}

func (d *display) result(r *kascade.Result, m *kascade.Manifest) {
	if d.json != nil {
		nodes := map[string]*string{}
		for name, err := range r.Nodes {
			nodes[name] = nil
			if err != nil {
				s := err.Error()
				nodes[name] = &s
			}
		}
		d.json.Encode(map[string]any{"event": "result", "elapsed": r.Elapsed.Seconds(), "size": m.Size, "sent": r.Sent, "refetched": r.Refetched,
			"order": r.Order, "blake3": fmt.Sprintf("%x", m.Whole), "nodes": nodes})
		return
	}
	if d.width > 0 {
		fmt.Fprint(d.errs, "\r\x1b[K")
	}
	for _, name := range d.names {
		if err := r.Nodes[name]; err != nil {
			fmt.Fprintf(d.errs, "kascade: %s failed: %v\n", name, err)
		}
	}
	rate := float64(m.Size) / max(r.Elapsed.Seconds(), 1e-9)
	if r.Failed() == len(r.Nodes) {
		fmt.Fprintf(d.errs, "kascade: no node of %d has a copy, after %v\n", len(r.Nodes), r.Elapsed.Round(time.Millisecond))
		return
	}
	fmt.Fprintf(d.errs, "kascade: %s to %d of %d nodes in %v, %s/s\n", size(float64(m.Size)), len(r.Nodes)-r.Failed(), len(r.Nodes), r.Elapsed.Round(time.Millisecond), size(rate))
}

// size is a number of bytes for people.
func size(n float64) string {
	for _, unit := range []string{"B", "KiB", "MiB", "GiB"} {
		if n < 1024 {
			return fmt.Sprintf("%.4g %s", n, unit)
		}
		n /= 1024
	}
	return fmt.Sprintf("%.4g TiB", n)
}
