package sink

import (
	"context"
	"io"

	"kadeploy/kascade/internal/tree"
)

// Tree extracts a tar archive into a directory while it arrives.
type Tree struct {
	w    *io.PipeWriter
	done chan struct{}
	err  error // of the extraction; after done
}

// NewTree makes a sink of the directory dir, which is made if it does not exist. What was
// extracted before a failure stays there.
func NewTree(dir string) (*Tree, error) {
	r, w := io.Pipe()
	s := &Tree{w: w, done: make(chan struct{})}
	go func() {
		defer close(s.done)
		s.err = tree.Extract(r, dir)
		r.CloseWithError(s.err)
	}()
	return s, nil
}

// Write passes bytes on to the extraction; its error is that of the extraction.
func (s *Tree) Write(b []byte) (int, error) { return s.w.Write(b) }

// Commit waits until everything is extracted and on the disk.
func (s *Tree) Commit(ctx context.Context) error {
	s.w.Close()
	select {
	case <-s.done:
		return s.err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Abort gives the extraction up.
func (s *Tree) Abort(cause error) {
	s.w.CloseWithError(cause)
	<-s.done
}
