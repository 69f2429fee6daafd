package service

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"kadeploy/agent/internal/image"
	"kadeploy/agent/internal/session"
	"kadeploy/kascade"
	agentv1 "kadeploy/proto/agent/v1"
)

// keepTime is how long what was received of an interrupted transfer is kept.
const keepTime = 10 * time.Minute

// errDropped is why a sink ends with which nobody went on.
var errDropped = errors.New("the transfer was interrupted, and nobody went on with it")

// keeper is a sink that outlives the call that feeds it: when the session breaks it
// keeps what it has, and a later call goes on from there.
type keeper struct {
	id     string
	sink   *image.Sink
	after  func(context.Context) error
	ctx    context.Context // of the sink; not that of a call
	cancel context.CancelFunc

	call  context.Context // that feeds it now
	held  kascade.Held    // belongs to the chain's consumer, while there is one
	bytes int64           // that were written

	mu     sync.Mutex
	kept   bool          // the call is over, the sink is not
	commit chan struct{} // closed when it is committed, or could not be; nil before
	err    error         // of the commit
}

// keeper is the sink for a call: that which was kept of the transfer, or a new one.
func (s *Service) keeper(ctx context.Context, open *agentv1.ReceiveOpen) (*keeper, error) {
	if k := s.kept.take(open.TransferId); k != nil {
		s.log.Info("goes on with a transfer", "transfer", k.id, "bytes", k.held.Bytes)
		return k, nil
	}
	k := &keeper{id: open.TransferId}
	k.ctx, k.cancel = context.WithCancel(context.WithoutCancel(ctx))
	var err error
	if k.sink, k.after, err = s.sink(k.ctx, open); err != nil {
		k.cancel()
		return nil, err
	}
	return k, nil
}

// begin makes a call the one that feeds the sink, and says what it holds.
func (k *keeper) begin(call context.Context) kascade.Held {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.call, k.kept = call, false
	return k.held
}

// worthKeeping tells whether the chain ended because the way to the head broke.
func (k *keeper) worthKeeping(cause error) bool {
	if k.id == "" {
		return false
	}
	if k.call.Err() != nil {
		return session.Lost(k.call)
	}
	return errors.Is(cause, kascade.ErrHeadLost) // it fell silent
}

// ended tells whether the sink is to be kept, now that the call is over with an error.
func (k *keeper) ended(err error) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if err != nil && !k.kept && k.commit != nil && k.worthKeeping(err) {
		// Everything was there, but the head may not have heard of it.
		k.kept = true
	}
	return k.kept
}

// Write implements kascade.Sink.
func (k *keeper) Write(p []byte) (int, error) {
	n, err := k.sink.Write(p)
	k.bytes += int64(n)
	return n, err
}

// Verified implements kascade.Verified.
func (k *keeper) Verified(_ int, d kascade.Digest) {
	k.held.Bytes, k.held.Digests = k.bytes, append(k.held.Digests, d)
}

// Resume implements kascade.Resumer.
func (k *keeper) Resume(from int64, chunkSize int) error {
	if from != k.bytes {
		return fmt.Errorf("%d bytes were received before the interruption, and the image is right up to byte %d only: it was changed", k.bytes, from)
	}
	k.held.ChunkSize = chunkSize
	return nil
}

// Commit implements kascade.Sink. It goes on, once begun, when the session breaks.
func (k *keeper) Commit(ctx context.Context) error {
	k.mu.Lock()
	if k.commit == nil {
		k.commit = make(chan struct{})
		go func() {
			defer close(k.commit)
			k.err = k.sink.Commit(k.ctx)
		}()
	}
	done := k.commit
	k.mu.Unlock()
	select {
	case <-done:
		return k.err
	case <-ctx.Done():
	}
	cause := context.Cause(ctx)
	if !k.worthKeeping(cause) {
		k.cancel()
		<-done
	}
	return cause
}

// Abort implements kascade.Sink.
func (k *keeper) Abort(cause error) {
	if k.worthKeeping(cause) {
		k.mu.Lock()
		k.kept = true
		k.mu.Unlock()
		return
	}
	k.sink.Abort(cause)
	k.cancel()
}

// drop ends a sink that nobody goes on with.
func (k *keeper) drop() {
	k.mu.Lock()
	begun := k.commit
	k.mu.Unlock()
	if begun == nil {
		k.sink.Abort(errDropped)
	}
	k.cancel()
	if begun != nil {
		<-begun
	}
}

// shelf holds the sink of an interrupted transfer, at most one, and knows the calls
// that may yet leave theirs.
type shelf struct {
	mu    sync.Mutex
	k     *keeper
	timer *time.Timer
	calls map[*feeding]bool
}

// feeding is a call that feeds a sink.
type feeding struct {
	id    string
	ctx   context.Context
	ended chan struct{}
}

// enter is called before a call takes or makes a sink, and leave when it is through with
// it. It waits for the call that fed the same transfer, and for all whose session broke:
// gRPC lets them end by themselves, and the next session may be there before.
func (s *shelf) enter(ctx context.Context, id string) (leave func(), err error) {
	for {
		s.mu.Lock()
		before := s.ending(id)
		if before == nil {
			break
		}
		s.mu.Unlock()
		select {
		case <-before.ended:
		case <-ctx.Done():
			return nil, fmt.Errorf("the call before it does not end: %w", context.Cause(ctx))
		}
	}
	defer s.mu.Unlock()
	if s.calls == nil {
		s.calls = make(map[*feeding]bool)
	}
	f := &feeding{id, ctx, make(chan struct{})}
	s.calls[f] = true
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.calls, f)
		close(f.ended)
	}, nil
}

// ending is a call that has to end before one of this transfer; s.mu is held.
func (s *shelf) ending(id string) *feeding {
	for f := range s.calls {
		if f.ctx.Err() != nil || id != "" && f.id == id {
			return f
		}
	}
	return nil
}

// put keeps a sink for keepTime.
func (s *shelf) put(k *keeper) {
	s.drop()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.k = k
	s.timer = time.AfterFunc(keepTime, func() {
		if s.take(k.id) == k {
			k.drop()
		}
	})
}

// take gives the sink of a transfer, if it is there, and drops any other.
func (s *shelf) take(id string) *keeper {
	s.mu.Lock()
	k := s.k
	s.k = nil
	if s.timer != nil {
		s.timer.Stop()
	}
	s.mu.Unlock()
	switch {
	case k == nil:
		return nil
	case k.id != id:
		k.drop()
		return nil
	}
	return k
}

// drop ends the sink that is kept, before its disk is put to another use.
func (s *shelf) drop() { s.take("") }
