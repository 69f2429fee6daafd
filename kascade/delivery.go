package kascade

import (
	"context"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"kadeploy/kascade/internal/window"
	"kadeploy/kascade/internal/wire"
)

// delivery is the stream on one data connection, from the side that sends.
type delivery struct {
	out  *outlet
	from pieces
	at   int64 // next byte of the stream
	to   int64
	sent *atomic.Int64 // payload bytes

	head    [2 * wire.HeaderSize]byte // a header, and before it, if need be, that of the stream's near end
	headed  int64                     // chunk whose header is in head; -1: none yet
	pending int                       // bytes of head that are not written yet

	turn chan error // from the relay that it was lent to
}

func newDelivery(conn net.Conn, from pieces, at, to int64, sent *atomic.Int64, blocked *stopwatch) *delivery {
	d := &delivery{out: newOutlet(conn, blocked), from: from, at: at, to: to, sent: sent, headed: -1, turn: make(chan error, 1)}
	wire.Header{Chunk: wire.NoChunk}.Put(d.head[:])
	return d
}

// run writes each chunk, or the rest of it, after its header, until the end. If the end was
// not known when the reader came, it is announced.
func (d *delivery) run(ctx context.Context, r *relay) error {
	for d.at < d.to {
		if lent, err := r.lend(ctx, d); err != nil {
			return err
		} else if lent {
			continue
		}
		piece, err := d.from.Next(ctx)
		if err == io.EOF && d.to == window.Unknown {
			d.out.write(d.head[:wire.HeaderSize], nil, forEver) // a reader that knows may have closed
			return nil
		}
		if err != nil {
			return err
		}
		if _, err := d.put(piece, forEver); err != nil {
			return err
		}
	}
	return nil
}

// put writes one piece, and tells whether all of it went out within patience.
func (d *delivery) put(p window.Piece, patience time.Duration) (bool, error) {
	if d.headed != p.Chunk {
		d.headed, d.pending = p.Chunk, wire.HeaderSize
		wire.Header{Chunk: uint32(p.Chunk), Length: uint32(p.Form.Length), CRC: p.Form.CRC, Packed: p.Form.Packed}.Put(d.head[wire.HeaderSize:])
		if p.Short && d.to == window.Unknown {
			d.pending += wire.HeaderSize
		}
	}
	data := p.Data[:min(int64(len(p.Data)), d.to-d.at)]
	n, err := d.out.write(d.head[len(d.head)-d.pending:], data, patience)
	head := min(n, d.pending)
	d.pending -= head
	n -= head
	d.sent.Add(int64(n))
	if n > 0 {
		d.at = d.from.Advance(n)
	}
	return n == len(data), err
}

// relay lets the goroutine that reads from the previous write to the reader that follows,
// as long as that one keeps up: the bytes are still in the cache, and nobody must be woken
// for each piece. A reader that does not keep up gets its place back, and its own
// goroutine writes at its pace out of the window.
type relay struct {
	held *stopwatch // runs while the reading goroutine waits for the reader's socket

	mu   sync.Mutex
	lent *delivery
}

// relayPatience is how long the reading goroutine waits for its reader's socket. In a chain
// that is as fast as its CPUs, waiting keeps the window small and hot. What is slower than
// that is slow, and the window is there for it.
const relayPatience = 25 * time.Millisecond

// lend gives d to the goroutine that reads, if d has caught up, and waits until it is
// given back.
func (r *relay) lend(ctx context.Context, d *delivery) (bool, error) {
	if r == nil || d.out.raw == nil {
		return false, nil
	}
	place := d.from.(*window.Reader)
	r.mu.Lock()
	if r.lent != nil || !place.CaughtUp() {
		r.mu.Unlock()
		return false, nil
	}
	d.out.held = r.held
	r.lent = d
	r.mu.Unlock()
	select {
	case err := <-d.turn:
		return true, err
	case <-ctx.Done():
	}
	r.mu.Lock() // not while pass writes
	defer r.mu.Unlock()
	if r.lent == d {
		r.lent = nil
	}
	return true, context.Cause(ctx)
}

// pass writes what has arrived to the reader that keeps up.
func (r *relay) pass() {
	r.mu.Lock()
	defer r.mu.Unlock()
	d := r.lent
	if d == nil {
		return
	}
	for d.at < d.to {
		place := d.from.(*window.Reader)
		piece, ok := place.Peek()
		if !ok && place.Ended() {
			break
		}
		if !ok {
			return
		}
		if all, err := d.put(piece, relayPatience); err != nil || !all {
			r.giveBack(err)
			return
		}
	}
	r.giveBack(nil)
}

func (r *relay) giveBack(err error) {
	r.lent.turn <- err
	r.lent = nil
}
