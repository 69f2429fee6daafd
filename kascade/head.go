package kascade

import (
	"context"
	"errors"
)

// Broadcast is the head: it returns when every peer has either proved that it
// consumed everything or failed. An error is returned only if the head itself
// could not work, or ctx ended; the peers' failures are in the Result.
func Broadcast(ctx context.Context, src Source, m *Manifest, peers []Peer, opts HeadOptions) (*Result, error) {
	return nil, errors.ErrUnsupported
}
