package kascade

import (
	"context"
	"fmt"
	"sync"

	"kadeploy/kascade/internal/wire"
)

// digestList is the node's copy of the manifest, which grows while it arrives.
type digestList struct {
	mu    sync.Mutex
	list  []Digest
	total int
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
	close(l.more)
	l.more = make(chan struct{})
	return nil
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
