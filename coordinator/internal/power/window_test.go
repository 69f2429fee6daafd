package power

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// TestWindowBound: never more than its size inside, and each full window costs a sleep.
func TestWindowBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWindow(50, 10*time.Second)
		begin := time.Now()
		var mu sync.Mutex
		var wg sync.WaitGroup
		inside, most := 0, 0
		for range 120 {
			wg.Go(func() {
				release, err := w.enter(t.Context(), 1)
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				inside++
				most = max(most, inside)
				mu.Unlock()
				time.Sleep(time.Second)
				mu.Lock()
				inside--
				mu.Unlock()
				release()
			})
		}
		wg.Wait()
		if most != 50 {
			t.Errorf("at most %d were inside, want 50", most)
		}
		// 50 at 0 s, 50 at 10 s, 20 at 20 s, which end a second later.
		if took := time.Since(begin); took != 21*time.Second {
			t.Errorf("took %v, want 21s", took)
		}
	})
}

// TestWindowOrder: a group that needs many places is not overtaken by single nodes.
func TestWindowOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWindow(4, time.Second)
		releaseFirst, err := w.enter(t.Context(), 2)
		if err != nil {
			t.Fatal(err)
		}
		var mu sync.Mutex
		var order []string
		var wg sync.WaitGroup
		ask := func(name string, n int) {
			wg.Go(func() {
				release, err := w.enter(t.Context(), n)
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				order = append(order, name)
				mu.Unlock()
				time.Sleep(100 * time.Millisecond)
				release()
			})
			synctest.Wait()
		}
		ask("group", 9) // more than all: it gets the whole window
		ask("single", 1)
		time.Sleep(5 * time.Second)
		releaseFirst()
		wg.Wait()
		if len(order) != 2 || order[0] != "group" {
			t.Errorf("order %v", order)
		}
	})
}

func TestWindowWatchesContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWindow(1, time.Hour)
		release, err := w.enter(t.Context(), 1)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var wg sync.WaitGroup
		for range 2 { // one holds the turn, one waits for it
			wg.Go(func() {
				if _, err := w.enter(ctx, 1); err == nil {
					t.Error("entered a full window")
				}
			})
		}
		wg.Wait()
		release()
		if release, err = w.enter(t.Context(), 1); err != nil {
			t.Errorf("the window is lost: %v", err)
		} else {
			release()
		}
	})
}
