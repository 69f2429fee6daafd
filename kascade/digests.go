package kascade

import (
	"context"
	"fmt"
	"sync"

	"kadeploy/kascade/internal/wire"
)

// digestList is a manifest that grows: at the head while it is made, at a node while it
// arrives.
type digestList struct {
	mu    sync.Mutex
	list  []Digest
	total int           // chunks of the source, or the most that there may be
	more  chan struct{} // closed and replaced when the list grows
}

func newDigestList(total int) *digestList {
	return &digestList{total: total, more: make(chan struct{})}
}

// add appends the digests of a message; they come in order.
func (l *digestList) add(m *wire.Digests) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := len(m.Data) / wire.DigestSize
	if int(m.First) != len(l.list) || n > l.total-len(l.list) {
		return &wire.ProtocolError{What: fmt.Sprintf("digests %d to %d after %d of %d", m.First, int(m.First)+n, len(l.list), l.total)}
	}
	for i := range n {
		l.list = append(l.list, Digest(m.Data[i*wire.DigestSize:][:wire.DigestSize]))
	}
	l.grown()
	return nil
}

func (l *digestList) grown() {
	close(l.more)
	l.more = make(chan struct{})
}

// put appends one digest.
func (l *digestList) put(d Digest) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.list = append(l.list, d)
	l.grown()
}

// setTotal says how many there will be, and tells whether that can be.
func (l *digestList) setTotal(n int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.list) > n {
		return false
	}
	l.total = n
	return true
}

// from is what is there from number i on, and a channel that is closed when there is more.
// The digests do not change any more.
func (l *digestList) from(i int) ([]Digest, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.list[min(i, len(l.list)):], l.more
}

// get waits for the digest of chunk i.
func (l *digestList) get(ctx context.Context, i int) (Digest, error) {
	for {
		l.mu.Lock()
		more := l.more
		if i < len(l.list) {
			d := l.list[i]
			l.mu.Unlock()
			return d, nil
		}
		l.mu.Unlock()
		select {
		case <-more:
		case <-ctx.Done():
			return Digest{}, context.Cause(ctx)
		}
	}
}
