package kascade

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestSlowLink: one of six nodes has a fifth of the others' link, in both directions. They
// do not wait for it, although it takes a while to find it, and it ends well, too, as a
// branch. Where all links are equal nobody is moved.
func TestSlowLink(t *testing.T) {
	const size, mib = 32 << 20, 1 << 20
	for _, slow := range []int{0, 1, 3, 6} {
		t.Run(fmt.Sprint("node ", slow), func(t *testing.T) {
			t.Parallel()
			r := newNetRig(t, 6, size, "")
			r.shape("br0", "", "200mbit")
			for i := 1; i <= 6; i++ {
				rate := "200mbit"
				if i == slow {
					rate = "40mbit"
				}
				r.shape(fmt.Sprintf("v%d", i), fmt.Sprintf("node-%d", i), rate)
			}
			done := map[string]time.Duration{}
			opts := HeadOptions{Listen: headAddress + ":0", Window: 8 * mib, Report: 20 * time.Millisecond, Slow: Slow{Patience: patience * 400 * time.Millisecond}}
			if testing.Verbose() {
				opts.Logger = slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
			}
			opts.Progress = func(p Progress) {
				for _, n := range p.Nodes {
					if _, seen := done[n.Name]; !seen && n.State == Done {
						done[n.Name] = p.Elapsed
					}
				}
			}
			ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
			defer cancel()
			res, err := Broadcast(ctx, r.src, r.m, r.peers, opts)
			if err != nil {
				t.Fatal(err)
			}
			r.check(res, nil)
			name := fmt.Sprintf("node-%d", slow)
			var last time.Duration
			for n, d := range done {
				if n != name {
					last = max(last, d)
				}
			}
			t.Logf("the others after %v, all after %v, slow %+v, head sent %.1f MiB", last.Round(time.Millisecond), res.Elapsed.Round(time.Millisecond), res.Slow, float64(res.Sent)/mib)
			if slow == 0 {
				if len(res.Slow) > 0 {
					t.Errorf("slow: %+v, want nobody", res.Slow)
				}
				return
			}
			if want := []string{name}; len(res.Slow) != 1 || res.Slow[0].Name != name || !res.Slow[0].Side || !strings.Contains(res.Slow[0].Cause, "its link") {
				t.Errorf("slow: %+v, want %v with its link, aside", res.Slow, want)
			}
			if last > res.Elapsed*7/10 {
				t.Errorf("the others were done after %v of %v", last, res.Elapsed)
			}
		})
	}
}

// TestSlowSink: the command of one node is slow.
func TestSlowSink(t *testing.T) {
	for _, c := range []struct {
		mode SlowMode
		want string
	}{{SlowSide, ""}, {SlowDrop, "too slow: its disk or command"}, {SlowWait, ""}} {
		t.Run(c.mode.String(), func(t *testing.T) {
			t.Parallel()
			const size = 24 << 20
			r := newRig(t, 5, size, 64<<10)
			r.head.Window = 1 << 20
			r.head.Slow = Slow{Mode: c.mode, Patience: patience * 300 * time.Millisecond}
			for _, name := range r.names {
				wait := 500 * time.Microsecond // at most 128 MB/s
				if name == "node-3" {
					wait = patience * 8 * time.Millisecond
				}
				r.sinks[name].onWrite = func(int) error { time.Sleep(wait); return nil }
			}
			var others, all time.Duration
			r.head.Report = 20 * time.Millisecond
			r.head.Progress = func(p Progress) {
				left := slices.ContainsFunc(p.Nodes, func(n NodeProgress) bool { return n.Name != "node-3" && n.State != Done })
				if !left && others == 0 {
					others = p.Elapsed
				}
				all = p.Elapsed
			}
			res, err := r.run(within(t, patience*30*time.Second))
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("the others after %v, all after %v, slow: %+v", others, all, res.Slow)
			var failed []string
			if c.mode == SlowDrop {
				failed = []string{"node-3"}
				if e := fmt.Sprint(res.Nodes["node-3"]); !strings.Contains(e, c.want) {
					t.Errorf("node-3: %s, want %s", e, c.want)
				}
			}
			r.check(res, failed...)
			if len(res.Slow) != 1 || res.Slow[0].Name != "node-3" || res.Slow[0].Cause != "its disk or command" || res.Slow[0].Side != (c.mode != SlowWait) {
				t.Errorf("slow: %+v", res.Slow)
			}
			if c.mode == SlowSide && others > all*3/4 {
				t.Errorf("the others were done after %v of %v", others, all)
			}
		})
	}
}
