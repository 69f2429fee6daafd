package kascade

import (
	"fmt"
	"testing"
	"time"
)

func TestBroadcast(t *testing.T) {
	for _, c := range []struct{ nodes, size, chunk int }{
		{0, 100, 1 << 10},
		{1, 0, 1 << 10},
		{3, 0, 1 << 10},
		{1, 1, 1 << 10},
		{3, 700, 1 << 10},
		{2, 1 << 10, 1 << 10},
		{1, 10<<20 + 17, 1 << 20},
		{5, 1<<20 + 1, 1 << 10},
		{16, 10 << 20, 256 << 10},
		{40, 3<<20 + 3, 64 << 10},
	} {
		t.Run(fmt.Sprintf("%d nodes %d bytes by %d", c.nodes, c.size, c.chunk), func(t *testing.T) {
			r := newRig(t, c.nodes, c.size, c.chunk)
			res, err := r.run(within(t, 30*time.Second))
			if err != nil {
				t.Fatal(err)
			}
			r.check(res)
			if c.nodes > 0 && res.Sent != int64(c.size) {
				t.Errorf("the head sent %d bytes, the source has %d", res.Sent, c.size)
			}
		})
	}
}
