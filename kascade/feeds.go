package kascade

import (
	"context"
	"sync"
	"time"

	"kadeploy/kascade/internal/chain"
	"kadeploy/kascade/internal/window"
)

// How branches share the head's link with the chains (SPEC, section 7).
const (
	branchShare = 1.0 / 20 // of what the head sends goes to them
	branchFloor = 256 << 10
	branchPoll  = 10 * time.Millisecond
)

// feeds is what the head's readers do with their time, and how fast those may be that are
// in no chain.
type feeds struct {
	chunk int64 // bytes

	mu      sync.Mutex
	readers map[uint32]*feed
	paced   map[uint32]bool
	sent    int64   // bytes to those that are not paced, since filled
	credit  float64 // bytes that those may take that are
	rate    float64 // bytes per second of the others
	filled  time.Time
}

func newFeeds(chunk int) *feeds {
	return &feeds{chunk: int64(chunk), readers: map[uint32]*feed{}, paced: map[uint32]bool{}, filled: time.Now()}
}

// feed is the place of one reader that follows, in the head's source.
type feed struct {
	pieces
	all    *feeds
	reader uint32

	at              int64     // place of the piece that is being sent
	since           time.Time // of what it does now
	sending         bool      // else it waits for the source
	pacing          bool      // it waits for its turn: neither
	source, blocked time.Duration
	told            time.Time
}

// follow watches over a reader.
func (f *feeds) follow(reader uint32, p pieces) pieces {
	now := time.Now()
	r := &feed{pieces: p, all: f, reader: reader, at: -1, since: now, told: now}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.readers[reader] = r
	return r
}

// pace makes a reader take only what the chains leave, or no longer.
func (f *feeds) pace(reader uint32, on bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.paced[reader] = on
}

func (r *feed) Next(ctx context.Context) (window.Piece, error) {
	if err := r.turn(ctx); err != nil {
		return window.Piece{}, err
	}
	p, err := r.pieces.Next(ctx)
	r.all.mu.Lock()
	defer r.all.mu.Unlock()
	r.enter(true, false)
	at := p.Chunk*r.all.chunk + int64(p.Offset)
	if r.at >= 0 {
		r.all.count(r.reader, at-r.at)
	}
	r.at = at
	return p, err
}

// turn waits until the reader may be sent more.
func (r *feed) turn(ctx context.Context) error {
	for {
		r.all.mu.Lock()
		now := time.Now()
		r.all.fill(now)
		mayGo := !r.all.paced[r.reader] || r.all.credit > 0
		r.enter(false, !mayGo)
		r.all.mu.Unlock()
		if mayGo {
			return nil
		}
		select {
		case <-time.After(branchPoll):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (r *feed) Close() {
	r.all.mu.Lock()
	if r.all.readers[r.reader] == r {
		delete(r.all.readers, r.reader)
	}
	r.all.mu.Unlock()
	r.pieces.Close()
}

// enter counts the time of what the reader did, and begins to count anew.
func (r *feed) enter(sending, pacing bool) {
	now := time.Now()
	switch d := now.Sub(r.since); {
	case r.pacing:
	case r.sending:
		r.blocked += d
	default:
		r.source += d
	}
	r.since, r.sending, r.pacing = now, sending, pacing
}

// count takes n bytes that a reader was sent.
func (f *feeds) count(reader uint32, n int64) {
	if f.paced[reader] {
		f.credit -= float64(n)
	} else {
		f.sent += n
	}
}

// fill gives the paced readers what is due to them since the last time. They cannot save
// more than one chunk.
func (f *feeds) fill(now time.Time) {
	const memory = time.Second
	d := now.Sub(f.filled)
	if d < branchPoll {
		return
	}
	f.rate += (float64(f.sent)/d.Seconds() - f.rate) * min(1, float64(d)/float64(memory))
	f.sent, f.filled = 0, now
	f.credit += max(branchFloor, f.rate*branchShare/(1-branchShare)) * d.Seconds()
	f.credit = min(f.credit, float64(f.chunk))
}

// events tells the chain what the head's readers did since the last time.
func (f *feeds) events() []chain.Event {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fill(time.Now())
	var events []chain.Event
	for id, r := range f.readers {
		r.enter(r.sending, r.pacing)
		events = append(events, chain.Feed{Reader: int(id), Period: r.since.Sub(r.told), Source: r.source, Blocked: r.blocked})
		r.told, r.source, r.blocked = r.since, 0, 0
	}
	return events
}
