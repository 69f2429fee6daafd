package kascade

import (
	"context"
	"errors"
	"io"
	"sync/atomic"
)

// UnknownSize is the size of a source whose end is not known yet.
const UnknownSize = -1

// Stream is a Source that is read once, from its beginning to its end, and whose size is
// known only then, such as the standard input. The head keeps the last part of it, at
// least twice the window of a relay; a node that needs older bytes fails. One Stream
// serves one Broadcast.
type Stream struct {
	r    io.Reader
	used atomic.Bool
}

// NewStream makes a Source of r. If r is an io.Closer, Broadcast closes it when it
// returns, so that a Read that blocks may end.
func NewStream(r io.Reader) *Stream { return &Stream{r: r} }

// Size is UnknownSize.
func (s *Stream) Size() int64 { return UnknownSize }

// ReadAt always fails: a stream has no places to go back to.
func (s *Stream) ReadAt([]byte, int64) (int, error) {
	return 0, errors.New("a stream cannot be read at any place")
}

// chunks reads the stream in a goroutine of its own, which a Read that blocks may hold for
// longer than anybody waits for it. close ends it then.
func (s *Stream) chunks() (next chunkSource, close func()) {
	type result struct {
		n   int
		err error
	}
	wanted, got := make(chan []byte), make(chan result, 1)
	ended, end := context.WithCancel(context.Background())
	go func() {
		for {
			select {
			case b := <-wanted:
				n, err := io.ReadFull(s.r, b)
				if err == io.ErrUnexpectedEOF {
					err = io.EOF
				}
				got <- result{n, err}
			case <-ended.Done():
				return
			}
		}
	}()
	next = func(ctx context.Context, b []byte) (int, error) {
		select {
		case wanted <- b:
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		}
		select {
		case r := <-got:
			return r.n, r.err
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		}
	}
	return next, func() {
		end()
		if c, ok := s.r.(io.Closer); ok {
			c.Close()
		}
	}
}
