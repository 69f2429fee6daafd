package kascade

import (
	"errors"
	"io"
)

// UnknownSize is the size of a source whose end is not known yet.
const UnknownSize = -1

// Stream is a Source that is read once, from its beginning to its end, and whose size is
// known only then, such as the standard input. The head keeps the last part of it, at
// least twice the window of a relay; a node that needs older bytes fails. One Stream
// serves one Broadcast.
type Stream struct{ r io.Reader }

// NewStream makes a Source of r. If r is an io.Closer, Broadcast closes it when it
// returns, so that a Read that blocks may end.
func NewStream(r io.Reader) *Stream { return &Stream{r: r} }

// Size is UnknownSize.
func (s *Stream) Size() int64 { return UnknownSize }

// ReadAt always fails: a stream has no places to go back to.
func (s *Stream) ReadAt([]byte, int64) (int, error) {
	return 0, errors.New("a stream cannot be read at any place")
}
