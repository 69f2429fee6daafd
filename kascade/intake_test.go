package kascade

import (
	"context"
	"io"
	"sync"
	"testing"

	"kadeploy/kascade/internal/window"
)

// TestIntakeEnds: a reader that has passed everything gets the end, once and again.
func TestIntakeEnds(t *testing.T) {
	for _, size := range []int{0, 1, 1 << 10, 3<<10 + 1} {
		src := randomSource(3, size)
		f := newIntake(func(_ context.Context, b []byte) (int, error) {
			n, err := io.ReadFull(src, b)
			if err == io.ErrUnexpectedEOF {
				err = io.EOF
			}
			return n, err
		}, nil, window.Unknown, 1<<10, 8, func(err error) { t.Error(err) })
		var wg sync.WaitGroup
		wg.Go(func() {
			if err := f.run(t.Context()); err != nil {
				t.Error(err)
			}
		})
		r := f.reader(0, 0)
		got := 0
		for {
			p, err := r.Next(t.Context())
			if err == io.EOF {
				break
			}
			if err != nil || len(p.Data) == 0 {
				t.Fatalf("size %d: %d bytes at byte %d, %v", size, len(p.Data), got, err)
			}
			got += len(p.Data)
			r.Advance(len(p.Data))
		}
		if _, err := r.Next(t.Context()); err != io.EOF || got != size {
			t.Errorf("size %d: got %d bytes, then %v", size, got, err)
		}
		r.Close()
		wg.Wait()
	}
}
