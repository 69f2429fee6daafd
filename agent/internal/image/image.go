// Package image consumes an image while it arrives: a compressed tar archive
// extracted below a directory, a compressed disk image written onto a device,
// or a plain file. Whatever it makes is intact (owners, modes, times, links,
// devices, extended attributes, ACLs, holes) and stays below the root that it
// was given, whatever the archive says. It neither partitions, formats nor
// mounts, and it does not verify digests: the bytes that it is fed were
// verified by the chain.
package image

import (
	"context"
	"fmt"
	"io"
	"sync/atomic"
	"time"
)

// Stats is what a sink has done so far.
type Stats struct {
	Consumed int64         // bytes received, still compressed
	Written  int64         // bytes after decompression
	Entries  int64         // archive entries; 0 for a disk image or a file
	Tail     time.Duration // from the last byte received to the end of Commit
}

// consumer reads a stream to its end and makes something of it. It is run once
// in a goroutine of its own. Count is called with each amount of bytes written.
type consumer interface {
	consume(ctx context.Context, r io.Reader, count func(bytes, entries int64)) error
	// finish makes everything durable, or reports what was lost.
	finish() error
	// discard undoes what must not be left behind after a failure.
	discard() error
}

// Sink feeds the stream of a broadcast chain to what consumes it. It
// implements kascade.Sink.
type Sink struct {
	name   string
	pipe   *io.PipeWriter
	cancel context.CancelCauseFunc
	done   chan struct{} // closed when the consumer returned, after err was set
	err    error
	c      consumer

	consumed, written, entries atomic.Int64
	tail                       time.Duration
}

// start runs c on what is written to the sink that it returns.
func start(ctx context.Context, name string, c consumer) *Sink {
	ctx, cancel := context.WithCancelCause(ctx)
	pr, pw := io.Pipe()
	s := &Sink{name: name, pipe: pw, cancel: cancel, done: make(chan struct{}), c: c}
	// A reader of the pipe cannot watch ctx: end the pipe when ctx ends.
	stop := context.AfterFunc(ctx, func() { pr.CloseWithError(context.Cause(ctx)) })
	go func() {
		defer close(s.done)
		defer stop()
		s.err = c.consume(ctx, pr, s.count)
		cause := context.Cause(ctx)
		if s.err != nil && cause != nil {
			s.err = fmt.Errorf("%s: %w", name, cause) // what ended ctx, not what that led to
		}
		cause = s.err
		if cause == nil {
			cause = fmt.Errorf("%s: more bytes than the image has", name)
		}
		// From here on Write fails with the reason instead of waiting for ever.
		pr.CloseWithError(cause)
	}()
	return s
}

func (s *Sink) count(bytes, entries int64) {
	s.written.Add(bytes)
	s.entries.Add(entries)
}

// Write hands p to the consumer. It waits until the consumer took all of it,
// and fails with the consumer's error once there is one.
func (s *Sink) Write(p []byte) (int, error) {
	n, err := s.pipe.Write(p)
	s.consumed.Add(int64(n))
	return n, err
}

// Commit tells the consumer that all bytes were written, and returns when what
// it made is durable.
func (s *Sink) Commit(ctx context.Context) error {
	begin := time.Now()
	defer func() { s.tail = time.Since(begin) }()
	defer s.cancel(nil)
	s.pipe.Close()
	select {
	case <-s.done:
	case <-ctx.Done():
		s.cancel(fmt.Errorf("%s: %w", s.name, context.Cause(ctx)))
		<-s.done
	}
	err := s.err
	if err == nil {
		err = s.c.finish()
	}
	if err != nil {
		return s.failed(err)
	}
	return nil
}

// Abort ends the consumer and takes back what must not stay. It returns when
// the consumer has let go of everything.
func (s *Sink) Abort(cause error) {
	if cause == nil {
		cause = fmt.Errorf("%s: given up", s.name)
	}
	s.cancel(cause)
	<-s.done
	_ = s.c.discard() // the cause is what matters, and is the caller's already
}

func (s *Sink) failed(err error) error {
	if undo := s.c.discard(); undo != nil {
		return fmt.Errorf("%w (and then: %w)", err, undo)
	}
	return err
}

// Stats returns what was done; Tail is valid after Commit.
func (s *Sink) Stats() Stats {
	return Stats{Consumed: s.consumed.Load(), Written: s.written.Load(), Entries: s.entries.Load(), Tail: s.tail}
}
