package main

import (
	"fmt"

	"kadeploy/kascade"
)

// The objects that --json prints, one a line; docs/kascade.md describes them. Sizes are in
// bytes, rates in bytes per second, times in seconds.

type jsonLaunch struct {
	Event   string            `json:"event"` // "launch"
	Elapsed float64           `json:"elapsed"`
	Up      int               `json:"up"`
	Failed  map[string]string `json:"failed"`
}

type jsonProgress struct {
	Event   string     `json:"event"` // "progress"
	Elapsed float64    `json:"elapsed"`
	Size    *int64     `json:"size"` // null until it is known
	Sent    int64      `json:"sent"`
	Rate    float64    `json:"rate"`
	Left    *float64   `json:"left"` // null if it is not known
	Slowest string     `json:"slowest,omitempty"`
	Why     string     `json:"why,omitempty"`
	Nodes   []jsonNode `json:"nodes"`
}

type jsonNode struct {
	Name     string  `json:"name"`
	State    string  `json:"state"`
	Chain    int     `json:"chain"`
	Previous string  `json:"previous,omitempty"`
	Received int64   `json:"received"`
	Consumed int64   `json:"consumed"`
	Rate     float64 `json:"rate"`
	Full     bool    `json:"full"`
	Slow     string  `json:"slow,omitempty"`
	Side     bool    `json:"side"`
	Error    string  `json:"error,omitempty"`
}

type jsonResult struct {
	Event     string             `json:"event"` // "result"
	Elapsed   float64            `json:"elapsed"`
	Size      *int64             `json:"size"`
	Sent      int64              `json:"sent"`
	Refetched int64              `json:"refetched"`
	BLAKE3    string             `json:"blake3,omitempty"`
	Order     []string           `json:"order"`
	Slow      []jsonSlow         `json:"slow"`
	Nodes     map[string]*string `json:"nodes"` // null: it has its copy; else why not
}

type jsonSlow struct {
	Name  string `json:"name"`
	Cause string `json:"cause"`
	Side  bool   `json:"side"`
}

func toJSON(p kascade.Progress) jsonProgress {
	j := jsonProgress{
		Event: "progress", Elapsed: p.Elapsed.Seconds(), Size: known(p.Size), Sent: p.Sent, Rate: p.Rate,
		Slowest: p.Slowest, Why: p.Why, Nodes: make([]jsonNode, len(p.Nodes)),
	}
	if p.Left >= 0 {
		left := p.Left.Seconds()
		j.Left = &left
	}
	for i, n := range p.Nodes {
		j.Nodes[i] = jsonNode{
			Name: n.Name, State: string(n.State), Chain: n.Chain, Previous: n.Previous, Received: n.Received, Consumed: n.Consumed,
			Rate: n.Rate, Full: n.Full, Slow: n.Slow, Side: n.Side,
		}
		if n.Err != nil {
			j.Nodes[i].Error = n.Err.Error()
		}
	}
	return j
}

func resultJSON(r *kascade.Result, src *source) jsonResult {
	j := jsonResult{
		Event: "result", Elapsed: r.Elapsed.Seconds(), Size: known(src.size()), Sent: r.Sent, Refetched: r.Refetched,
		Order: append([]string{}, r.Order...), Slow: []jsonSlow{}, Nodes: map[string]*string{},
	}
	if src.manifest != nil {
		j.BLAKE3 = fmt.Sprintf("%x", src.manifest.Whole)
	}
	for _, n := range r.Slow {
		j.Slow = append(j.Slow, jsonSlow{n.Name, n.Cause, n.Side})
	}
	for name, err := range r.Nodes {
		j.Nodes[name] = nil
		if err != nil {
			s := err.Error()
			j.Nodes[name] = &s
		}
	}
	return j
}

func known(size int64) *int64 {
	if size < 0 {
		return nil
	}
	return &size
}
