package kascade

import (
	"io"
	"sync/atomic"
	"testing"
	"time"
)

// TestComeBack: while a reader's connection is broken, its previous keeps what it needs, so
// that the head sends again no more than what was on the way.
func TestComeBack(t *testing.T) {
	const size, chunk, window, sockets = 96 << 20, 256 << 10, 4 << 20, 12 << 20
	r := newRig(t, 3, size, chunk)
	r.head.Window = window
	var cuts atomic.Int32
	r.wrap["node-1"] = func(c io.ReadWriteCloser) io.ReadWriteCloser {
		return &proxied{ReadWriteCloser: c, t: t, fault: func(conn int, offset int64, b []byte) (int, bool) {
			if conn > 2 || offset < int64(conn+1)<<20 {
				return len(b), false
			}
			cuts.Add(1)
			return 0, false
		}}
	}
	res, err := r.run(within(t, patience*30*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	r.check(res)
	if cuts.Load() < 3 {
		t.Errorf("%d cuts, want 3", cuts.Load())
	}
	if most := int64(size + window + sockets); res.Sent > most {
		t.Errorf("the head sent %d bytes, want %d at most", res.Sent, most)
	}
}
