package window

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const chunk = 1 << 10

// put appends bytes of stream up to byte to, in pieces of at most step.
func put(ctx context.Context, w *Window, stream []byte, to int64, step int) error {
	for at := w.End(); at < to; at = w.End() {
		index, length := w.Chunk()
		if err := w.Begin(ctx, Form{Length: length, CRC: uint32(index) + 100}); err != nil {
			return err
		}
		room := w.Space()
		w.Advance(copy(room[:min(len(room), step)], stream[at:to]))
	}
	return nil
}

// take reads n bytes, and checks what the pieces say of themselves.
func take(ctx context.Context, r *Reader, n int) ([]byte, error) {
	var got []byte
	for len(got) < n {
		at := r.At()
		p, err := r.Next(ctx)
		if err != nil {
			return got, err
		}
		if p.Chunk != at/chunk || p.Offset != int(at%chunk) || p.Form.CRC != uint32(p.Chunk)+100 {
			return got, fmt.Errorf("piece %+v at byte %d", p, at)
		}
		d := p.Data[:min(len(p.Data), n-len(got))]
		got = append(got, d...)
		r.Advance(len(d))
	}
	return got, nil
}

func stream(n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{}).Read(b)
	return b
}

// TestReaders lets readers of different speeds follow a writer, by seed.
func TestReaders(t *testing.T) {
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 0))
		data := stream(rng.IntN(60 * chunk))
		w := New(int64(len(data)), chunk, 0, int64(rng.IntN(16*chunk)))
		var wg sync.WaitGroup
		for range 1 + rng.IntN(3) {
			r := w.NewReader(0)
			steps := rand.New(rand.NewPCG(seed, rng.Uint64()))
			wg.Go(func() {
				defer r.Close()
				var got []byte
				for {
					b, err := take(t.Context(), r, min(1+steps.IntN(3*chunk), len(data)-len(got)))
					got = append(got, b...)
					if err != nil {
						t.Errorf("seed %d: %v", seed, err)
						return
					}
					if len(got) == len(data) {
						break
					}
				}
				if !bytes.Equal(got, data) {
					t.Errorf("seed %d: reader got other bytes", seed)
				}
				if _, err := r.Next(t.Context()); err != io.EOF {
					t.Errorf("seed %d: after the end: %v, want EOF", seed, err)
				}
			})
		}
		if err := put(t.Context(), w, data, int64(len(data)), 1+rng.IntN(2*chunk)); err != nil {
			t.Fatal(err)
		}
		wg.Wait()
	}
}

// TestBound: the writer waits when the slowest reader is behind by the limit, and goes on
// as soon as it is not.
func TestBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		data := stream(100 * chunk)
		w := New(int64(len(data)), chunk, 0, 8*chunk)
		slow, fast := w.NewReader(0), w.NewReader(0)
		done := make(chan error)
		go func() { done <- put(t.Context(), w, data, int64(len(data)), chunk) }()
		synctest.Wait()
		if w.End() != 8*chunk || !w.Full() {
			t.Fatalf("End = %d, Full = %v; want %d, true", w.End(), w.Full(), 8*chunk)
		}
		if _, err := take(t.Context(), fast, 8*chunk); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if w.End() != 8*chunk {
			t.Errorf("End = %d although the slow reader has not moved", w.End())
		}
		// Two of eight chunks stay behind the slowest reader.
		if _, err := take(t.Context(), slow, 5*chunk); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if w.End() != 11*chunk || w.Oldest() != 3*chunk {
			t.Errorf("End = %d, Oldest = %d; want %d, %d", w.End(), w.Oldest(), 11*chunk, 3*chunk)
		}
		// Who comes later gets what is still there.
		if late := w.NewReader(chunk); late.At() != 3*chunk {
			t.Errorf("late reader starts at %d, want %d", late.At(), 3*chunk)
		} else {
			late.Close()
		}
		slow.Close()
		if _, err := take(t.Context(), fast, 92*chunk); err != nil {
			t.Fatal(err)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// TestWaits: every wait ends with its context and with the window.
func TestWaits(t *testing.T) {
	stop := errors.New("stop")
	for _, how := range []string{"cancel", "close"} {
		synctest.Test(t, func(t *testing.T) {
			data := stream(20 * chunk)
			w := New(int64(len(data)), chunk, 0, 0)
			behind := w.NewReader(0)
			ahead := w.NewReader(15 * chunk)
			ctx, cancel := context.WithCancelCause(t.Context())
			errs := make(chan error, 2)
			go func() { errs <- put(ctx, w, data, int64(len(data)), chunk) }()
			go func() { _, err := ahead.NextChunk(ctx); errs <- err }()
			synctest.Wait()
			if how == "cancel" {
				cancel(stop)
			} else {
				w.Close(stop)
				defer cancel(nil)
			}
			for range 2 {
				if err := <-errs; !errors.Is(err, stop) {
					t.Errorf("%s: %v, want %v", how, err, stop)
				}
			}
			behind.Close()
		})
	}
}

// TestStart: a window may begin after the stream's start; a reader may wait ahead of it.
func TestStart(t *testing.T) {
	data := stream(10*chunk + 5)
	w := New(int64(len(data)), chunk, 4*chunk, 0)
	r := w.NewReader(0)
	if r.At() != 4*chunk || w.Oldest() != 4*chunk {
		t.Errorf("At = %d, Oldest = %d, want %d", r.At(), w.Oldest(), 4*chunk)
	}
	r.Close()
	ahead := w.NewReader(9*chunk + 100)
	if err := put(t.Context(), w, data, int64(len(data)), 300); err != nil {
		t.Fatal(err)
	}
	got, err := take(t.Context(), ahead, chunk+5-100)
	if err != nil || !bytes.Equal(got, data[9*chunk+100:]) {
		t.Errorf("reader that waited ahead: %d bytes, %v", len(got), err)
	}
}

// TestSetSize: the end becomes known before, while and after a reader waits for it.
func TestSetSize(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, size := range []int64{0, 1, chunk, 2*chunk + 5, 3 * chunk} {
			data := stream(int(size))
			w := New(Unknown, chunk, 0, 0)
			full := size - size%chunk
			var wg sync.WaitGroup
			for _, whole := range []bool{false, true} {
				r := w.NewReader(0)
				wg.Go(func() {
					defer r.Close()
					var got []byte
					for {
						next := r.Next
						if whole {
							next = r.NextChunk
						}
						p, err := next(t.Context())
						if err == io.EOF {
							break
						}
						if err != nil {
							t.Error(err)
							return
						}
						if p.Short != (p.Chunk*chunk >= full) {
							t.Errorf("size %d: chunk %d is short: %v", size, p.Chunk, p.Short)
						}
						got = append(got, p.Data...)
						r.Advance(len(p.Data))
					}
					if !bytes.Equal(got, data) || !r.Ended() || r.CaughtUp() {
						t.Errorf("size %d: got %d bytes, ended %v, more may come %v", size, len(got), r.Ended(), r.CaughtUp())
					}
				})
			}
			if err := put(t.Context(), w, data, full, 300); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			if w.SetSize(full-1) || !w.SetSize(size) || w.SetSize(size) || w.Size() != size {
				t.Errorf("size %d: SetSize takes what cannot be, or not what is", size)
			}
			if err := put(t.Context(), w, data, size, 300); err != nil {
				t.Fatal(err)
			}
			wg.Wait()
		}
		// A chunk that has begun is whole.
		w := New(Unknown, chunk, 0, 0)
		if err := put(t.Context(), w, stream(chunk+1), chunk+1, chunk); err != nil {
			t.Fatal(err)
		}
		if w.SetSize(chunk) || w.SetSize(chunk+1) || w.SetSize(2*chunk-1) || !w.SetSize(2*chunk) {
			t.Error("SetSize cuts off a chunk that has begun")
		}
	})
}
