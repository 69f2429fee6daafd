package kascade

import (
	"context"
	"errors"
	"io"
)

// Join is a node's part: it obeys the head over control, relays to its successor,
// and feeds the sink with verified bytes. When the sink fails the node goes on
// relaying, and its error is returned at the end. Join closes control before it
// returns; Close must make a blocked Read or Write return.
func Join(ctx context.Context, control io.ReadWriteCloser, sink Sink, opts NodeOptions) error {
	return errors.ErrUnsupported
}
