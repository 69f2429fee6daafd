package kascade

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"kadeploy/kascade/internal/chain"
	"kadeploy/kascade/internal/window"
)

// endless is a source in which nobody waits: chunk after chunk.
type endless struct{ chunk int64 }

func (e *endless) Next(context.Context) (window.Piece, error) {
	e.chunk++
	return window.Piece{Chunk: e.chunk}, nil
}

func (e *endless) Advance(int) int64 { return 0 }

func (e *endless) Close() {}

// TestBranchesGetTheirShare: while a chain is fed with 64 KiB each millisecond, a branch that
// could take more gets a twentieth of the whole; afterwards all.
func TestBranchesGetTheirShare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const chunk = 64 << 10
		f := newFeeds(chunk)
		f.pace(2, true)
		ctx, cancel := context.WithCancel(context.Background())
		var taken [3]atomic.Int64 // pieces, by reader
		start := func(reader uint32, each time.Duration) {
			go func() {
				place := f.follow(reader, &endless{})
				defer place.Close()
				for {
					if _, err := place.Next(ctx); err != nil {
						return
					}
					taken[reader].Add(1)
					time.Sleep(each)
					if ctx.Err() != nil {
						return
					}
				}
			}()
		}
		start(1, time.Millisecond)
		start(2, 100*time.Microsecond)
		time.Sleep(20 * time.Second)
		synctest.Wait()
		share := float64(taken[2].Load()) / float64(taken[1].Load()+taken[2].Load())
		if share < 0.04 || share > 0.055 {
			t.Errorf("the branch got %.3f of %d chunks, want 0.05", share, taken[1].Load()+taken[2].Load())
		}
		var waits, writes time.Duration
		for _, ev := range f.events() {
			if e := ev.(chain.Feed); e.Reader == 1 {
				waits, writes = e.Source, e.Blocked
			}
		}
		if waits > time.Second || writes < 19*time.Second {
			t.Errorf("reader 1: waited for the source for %v, was sent to for %v, want 0 and 20 s", waits, writes)
		}
		before := taken[2].Load()
		f.pace(2, false)
		time.Sleep(time.Second)
		synctest.Wait()
		if got := taken[2].Load() - before; got < 9000 {
			t.Errorf("on its own the branch got %d chunks in a second, want 10000", got)
		}
		cancel()
		time.Sleep(time.Second)
		synctest.Wait()
		if len(f.events()) != 0 {
			t.Error("a reader is watched after its end")
		}
	})
}
