package kascade

import (
	"context"
	"sync"
	"testing"
	"time"
)

// TestTogether: two broadcasts whose chains run through the same hosts at the same time
// know nothing of each other: ports and keys are each one's own.
func TestTogether(t *testing.T) {
	rigs := []*rig{newRig(t, 6, 8<<20+1, 64<<10), newRig(t, 6, 5<<20+3, 256<<10)}
	rigs[1].head.Encrypt = true
	ctx := within(t, 30*time.Second)
	var both sync.WaitGroup
	for _, r := range rigs {
		both.Go(func() {
			res, err := r.run(ctx)
			if err != nil {
				t.Error(err)
				return
			}
			r.check(res)
		})
	}
	both.Wait()
}

// TestSeveralChains: the order is cut into runs, each fed by the head; a death in one of
// them is healed within it.
func TestSeveralChains(t *testing.T) {
	r := newRig(t, 9, 24<<20, 64<<10)
	r.head.Chains, r.head.Window = 3, 1<<20
	ctx, cancel := context.WithCancel(within(t, 30*time.Second))
	defer cancel()
	var once sync.Once
	r.sinks["node-5"].onWrite = func(total int) error { // the middle of the second chain
		if total > 4<<20 {
			once.Do(func() { r.cancel["node-5"]() })
		}
		return nil
	}
	res, err := r.run(ctx)
	if err != nil {
		t.Fatal(err)
	}
	r.check(res, "node-5")
	size := int64(24 << 20)
	if res.Sent < 3*size || res.Sent > 3*size+size/2 {
		t.Errorf("the head sent %d bytes, want about three times %d: once for each chain", res.Sent, size)
	}
	if len(res.Order) != 9 || res.Order[0] != "node-1" || res.Order[8] != "node-9" {
		t.Errorf("order %v", res.Order)
	}
}
