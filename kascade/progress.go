package kascade

import (
	"errors"
	"time"

	"kadeploy/kascade/internal/chain"
)

// rate measures how fast a counter grows, over about the last second.
type rate struct {
	at    time.Duration
	bytes int64
	perS  float64
}

func (r *rate) update(now time.Duration, bytes int64) float64 {
	if d := now - r.at; d > 0 {
		const memory = float64(time.Second)
		weight := min(1, float64(d)/memory)
		r.perS += (float64(bytes-r.bytes)/d.Seconds() - r.perS) * weight
		r.at, r.bytes = now, bytes
	}
	return r.perS
}

// progress is the picture of the chain.
func (h *head) progress(elapsed time.Duration) Progress {
	p := Progress{Elapsed: elapsed, Size: h.m.Size, Sent: h.port.sent.Load()}
	for _, i := range h.chain.Order() {
		v := h.chain.View(i)
		n := NodeProgress{
			Name: h.peers[i].Name, State: states[v.State], Received: v.Received, Consumed: v.Consumed, Full: v.Full,
			Rate: h.rates[i].update(elapsed, v.Received),
		}
		if v.Previous != chain.Head {
			n.Previous = h.peers[v.Previous].Name
		}
		if v.Reason != "" {
			n.Err = errors.New(v.Reason)
		}
		p.Nodes = append(p.Nodes, n)
	}
	return p
}

var states = map[chain.State]State{
	chain.Waiting: Waiting, chain.Receiving: Receiving, chain.Finishing: Finishing,
	chain.Relaying: Relaying, chain.Done: Done, chain.Failed: Failed,
}
