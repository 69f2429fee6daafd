package kascade

import (
	"fmt"
	"io"
	"sync/atomic"
	"testing"
	"time"
)

// TestFaultAtEachState harms the connection from node-2 to node-3 once, at each point of its
// life: cut, stalled, cut in the middle of a write, or with a byte changed. Everybody lives,
// so everybody must succeed.
func TestFaultAtEachState(t *testing.T) {
	const size, chunk = 2 << 20, 64 << 10
	const framed = size + size/chunk*12
	for _, state := range []struct {
		name string
		at   int64 // offset in what node-2 sends
	}{
		{"before the hello", 0}, {"in the hello", 10}, {"in the answer", 24 + 20}, {"in the first header", 72 + 5}, {"in the first chunk", 72 + 5000},
		{"between two chunks", 72 + chunk + 12}, {"in a later header", 72 + 3*(chunk+12) + 6}, {"in the last chunk", 72 + framed - 1000}, {"at the last byte", 72 + framed - 1},
	} {
		for _, kind := range []string{"cut", "stall", "corrupt"} {
			t.Run(state.name+", "+kind, func(t *testing.T) {
				t.Parallel()
				r := newRig(t, 4, size, chunk)
				r.head.Window, r.head.DeadAfter = 512<<10, patience*time.Second
				var done atomic.Bool
				r.wrap["node-2"] = func(c io.ReadWriteCloser) io.ReadWriteCloser {
					return &proxied{ReadWriteCloser: c, t: t, fault: func(_ int, offset int64, b []byte) (int, bool) {
						at := state.at - offset
						if at < 0 || at >= int64(len(b)) || done.Swap(true) {
							return len(b), false
						}
						if kind == "corrupt" {
							b[at] ^= 0x20
							return len(b), false
						}
						return int(at), kind == "stall"
					}}
				}
				start := time.Now()
				res, err := r.run(within(t, patience*20*time.Second))
				if err != nil {
					t.Fatal(err)
				}
				r.check(res)
				if !done.Load() {
					t.Error("the fault never happened")
				}
				if d := time.Since(start); d > patience*8*time.Second {
					t.Errorf("took %v", d)
				}
				if most := int64(size + 2<<20); res.Sent > most {
					t.Errorf("the head sent %s", fmt.Sprint(res.Sent))
				}
			})
		}
	}
}
