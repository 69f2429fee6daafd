package kascade

import (
	"errors"
	"time"

	"kadeploy/kascade/internal/chain"
	"kadeploy/kascade/internal/window"
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
		weight := min(1, float64(d)/min(memory, float64(now))) // from the start the mean of what there is
		r.perS += (float64(bytes-r.bytes)/d.Seconds() - r.perS) * weight
		r.at, r.bytes = now, bytes
	}
	return r.perS
}

// nodeRates are what one node receives and consumes.
type nodeRates struct{ received, consumed rate }

// progress is the picture of the chain; now is the chain's time.
func (h *head) progress(elapsed, now time.Duration) Progress {
	p := Progress{Elapsed: elapsed, Size: h.size(), Sent: h.port.sent.Load(), Left: -1}
	if p.Size == window.Unknown {
		p.Size = UnknownSize
	}
	sum := summary{size: p.Size}
	for _, i := range h.chain.Order() {
		v := h.chain.View(i)
		n := NodeProgress{
			Name: h.peers[i].Name, State: states[v.State], Received: v.Received, Consumed: v.Consumed, Full: v.Full,
			Rate: h.rates[i].received.update(elapsed, v.Received), Slow: v.Slow, Side: v.Side, Chain: v.Chain,
		}
		if v.Previous != chain.Head {
			n.Previous = h.peers[v.Previous].Name
		}
		if v.Reason != "" {
			n.Err = errors.New(v.Reason)
		}
		p.Nodes = append(p.Nodes, n)
		consumes := h.rates[i].consumed.update(elapsed, v.Consumed)
		if v.State == chain.Receiving || v.State == chain.Finishing {
			sum.add(v, consumes)
		}
	}
	p.Rate, p.Left = sum.rate(), sum.left()
	if l, ok := h.chain.Slowest(now); ok {
		p.Slowest, p.Why = h.peers[l.Node].Name, l.Cause
	}
	return p
}

// summary is how fast those are that still consume.
type summary struct {
	size     int64
	nodes    int     // of the chains
	rates    float64 // of these, together
	behind   int64   // bytes that the last of these needs, and its rate
	lastRate float64
	branches float64 // seconds that the slowest branch needs
	unknown  bool    // a branch does not advance
	all      float64 // bytes per second of the branches together
	count    int
}

func (s *summary) add(v chain.View, rate float64) {
	rest := s.size - v.Consumed
	switch {
	case rest == 0:
		return
	case !v.Branch:
		s.nodes++
		s.rates += rate
		if rest > s.behind {
			s.behind, s.lastRate = rest, rate
		}
		return
	}
	s.count++
	s.all += rate
	if rate < 1 {
		s.unknown = true
		return
	}
	s.branches = max(s.branches, float64(rest)/rate)
}

// rate is that of a node of the chains; when only branches are left, of one of these.
func (s *summary) rate() float64 {
	switch {
	case s.nodes > 0:
		return s.rates / float64(s.nodes)
	case s.count > 0:
		return s.all / float64(s.count)
	}
	return 0
}

func (s *summary) left() time.Duration {
	seconds := s.branches
	if s.nodes > 0 {
		if s.lastRate < 1 {
			return -1
		}
		seconds = max(seconds, float64(s.behind)/s.lastRate)
	}
	if s.unknown || s.size == UnknownSize || seconds > 1e9 {
		return -1
	}
	return time.Duration(seconds * float64(time.Second))
}

var states = map[chain.State]State{
	chain.Waiting: Waiting, chain.Receiving: Receiving, chain.Finishing: Finishing,
	chain.Relaying: Relaying, chain.Done: Done, chain.Failed: Failed,
}
