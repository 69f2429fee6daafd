package kascade

import (
	"context"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"
)

// firstAttach notes when the first node was told its previous.
type firstAttach struct {
	slog.Handler
	at *atomic.Int64
}

func (h firstAttach) Enabled(context.Context, slog.Level) bool { return true }

func (h firstAttach) Handle(_ context.Context, r slog.Record) error {
	if r.Message == "attach" {
		h.at.CompareAndSwap(0, r.Time.UnixNano())
	}
	return nil
}

// TestFirstByte: when all nodes are ready, the first byte reaches the last of 64 without
// anything on the way that takes its time per node. The goal is 150 ms on an idle machine.
func TestFirstByte(t *testing.T) {
	r := newRig(t, 64, 1<<20, 16<<10)
	var attached, arrived atomic.Int64
	r.head.Logger = slog.New(firstAttach{slog.DiscardHandler, &attached})
	r.sinks["node-64"].onWrite = func(int) error {
		arrived.CompareAndSwap(0, time.Now().UnixNano())
		return nil
	}
	res, err := r.run(within(t, patience*20*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	r.check(res)
	took := time.Duration(arrived.Load() - attached.Load())
	t.Logf("first chunk at the last node after %v", took.Round(time.Millisecond))
	if took > patience*time.Second {
		t.Errorf("the first chunk reached the last node after %v", took)
	}
}
