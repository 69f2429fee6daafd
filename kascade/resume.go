package kascade

import (
	"cmp"
	"slices"
	"time"

	"kadeploy/kascade/internal/chain"
	"kadeploy/kascade/internal/window"
	"kadeploy/kascade/internal/wire"
)

// claim takes a READY: a node that holds nothing is ready, of another one it is to be
// found out what is right.
func (h *head) claim(i int, m *wire.Ready) (chain.Event, error) {
	if m.Held == 0 {
		h.claims.halt()
		return chain.Ready{Node: i}, nil
	}
	count, err := chunkCount(int64(min(m.Held, 1<<62)), int(m.ChunkSize))
	if err != nil {
		return nil, &wire.ProtocolError{What: "READY: " + err.Error()}
	}
	if int(m.ChunkSize) != h.chunkSize || h.opts.NoVerify {
		count = 0
	}
	h.claims.add(i, count)
	return chain.Answered{Node: i}, nil
}

// resume compares what nodes hold with what is known of the source. Those of which it is
// known are told from where they go on, and are ready.
func (h *head) resume(now time.Duration) []chain.Event {
	if !h.claims.open() {
		return nil
	}
	late := 0
	for i, p := range h.peers {
		switch v := h.chain.View(i); {
		case v.State == chain.Failed:
			h.claims.forget(i)
		case v.State == chain.Waiting && !p.answered.Load():
			late++
		}
	}
	if late == 0 || now >= h.chain.StartWait() {
		h.claims.begin()
	}
	size := h.size() // before the digests: then they are all there, or it is not known
	made, _ := h.digests.from(0)
	total := -1
	if size != window.Unknown {
		total = int((size + int64(h.chunkSize) - 1) / int64(h.chunkSize))
	}
	found := h.claims.compare(made, len(made) == total)
	slices.SortFunc(found, func(a, b settled) int { return cmp.Or(cmp.Compare(a.chunks, b.chunks), cmp.Compare(a.node, b.node)) })
	var events []chain.Event
	for _, s := range found {
		from := min(int64(s.chunks)*int64(h.chunkSize), size)
		h.log.Info("goes on", "node", h.peers[s.node].Name, "from", from)
		p := h.peers[s.node]
		p.link.post(p.teller.size) // first, as from may be the end
		p.link.send(&wire.Resume{From: uint64(from)})
		events = append(events, chain.Ready{Node: s.node, Have: from})
	}
	if h.intake != nil {
		h.intake.wake()
	}
	return events
}
