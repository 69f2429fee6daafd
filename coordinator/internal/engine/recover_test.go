package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"kadeploy/coordinator/internal/workflow"
)

// The coordinator dies after each of its journal's records; the next one goes on,
// and what was ordered last is ordered again, as such.
func TestRecoverAtEachRecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, nil)
		defer b.close()
		b.submit(deployment("D-1", lab("lab", "n1", "n2")), nil)
		b.wait("D-1")
		full := b.script.calls
		for cut := range len(b.memory.records) + 1 {
			records := slices.Clone(b.memory.records[:cut])
			if cut > 0 { // as if it had just happened
				shift := time.Since(records[cut-1].At) - 5*time.Second
				for i := range records {
					records[i].At = records[i].At.Add(shift)
				}
			}
			var mu sync.Mutex
			var again []string
			next := newBench(t, func(ctx context.Context, task *workflow.Task, node string) error {
				if task.Again {
					mu.Lock()
					again = append(again, task.ID+" "+task.Micro)
					mu.Unlock()
				}
				return sleep(ctx, time.Second)
			})
			next.memory.states["n1"], next.memory.states["n2"] = "deploying", "deploying"
			if cut == 0 { // it had not claimed them yet
				clear(next.memory.states)
			}
			req := deployment("D-1", lab("lab", "n1", "n2"))
			req.Created = time.Now()
			past := []workflow.Interrupted{{Request: req, Launched: true, Records: records}}
			next.memory.records = records
			if err := next.Recover(t.Context(), past); err != nil {
				t.Fatalf("cut at %d: %v", cut, err)
			}
			v := next.wait("D-1")
			check(t, fmt.Sprintf("ok, cut at %d", cut), []string{"n1", "n2"}, v.OK)
			check(t, fmt.Sprintf("store, cut at %d", cut), map[string]string{"n1": "deployed", "n2": "deployed"}, next.memory.states)
			check(t, "journal ended", []string{"D-1"}, next.memory.ended)
			if want := full[len(full)-len(next.script.calls):]; !slices.Equal(next.script.calls, want) {
				t.Errorf("cut at %d: calls %q, want %q", cut, next.script.calls, want)
			}
			if cut > 0 && cut < len(b.memory.records) != (len(again) > 0) {
				t.Errorf("cut at %d: done again: %q", cut, again)
			}
			text := next.text("D-1")
			if cut > 0 && cut < len(b.memory.records) && !strings.Contains(text, "The coordinator was restarted; the deployment goes on after 5s\n") {
				t.Errorf("cut at %d: text %s", cut, text)
			}
			next.close()
		}
	})
}

// past is a deployment of n1 that was interrupted in its second micro-step, so long ago.
func past(t *testing.T, ago time.Duration) workflow.Interrupted {
	t.Helper()
	b := newBench(t, nil)
	b.submit(deployment("D-1", lab("lab", "n1")), nil)
	time.Sleep(1500 * time.Millisecond)
	b.memory.mu.Lock()
	records := slices.Clone(b.memory.records)
	b.memory.mu.Unlock()
	b.close()
	for i := range records {
		records[i].At = records[i].At.Add(-ago)
	}
	return workflow.Interrupted{Request: b.memory.began["D-1"], Launched: true, Records: records}
}

// A deployment whose end was told, and could not be journalled, does not rise again on
// nodes that are others' by now.
func TestOneWhoseNodesAreNotItsOwnEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, nil)
		defer b.close()
		b.memory.states["n1"] = "deployed" // since
		if err := b.Recover(t.Context(), []workflow.Interrupted{past(t, time.Minute)}); err != nil {
			t.Fatal(err)
		}
		v := b.wait("D-1")
		check(t, "ko", []string{"n1"}, v.KO)
		check(t, "store", "deployed", b.memory.states["n1"])
		check(t, "journal ended", []string{"D-1"}, b.memory.ended)
		if len(b.script.calls) > 0 {
			t.Errorf("the node of another was touched: %v", b.script.calls)
		}
		if states, _ := b.States("D-1"); !strings.Contains(states["n1"].Error, "this operation no longer holds n1") {
			t.Errorf("reason: %q", states["n1"].Error)
		}
	})
}

// What cannot go on ends with its reason, and holds no node.
func TestCannotGoOn(t *testing.T) {
	for name, c := range map[string]struct {
		change func(w *workflow.Interrupted)
		states map[string]string // of the nodes at the end
		reason string
	}{
		"away too long": {
			func(w *workflow.Interrupted) {
				for i := range w.Records {
					w.Records[i].At = w.Records[i].At.Add(-time.Hour)
				}
			},
			map[string]string{"n1": "deploy_failed"}, "the coordinator was away for 1h0m",
		},
		"another plan": {
			func(w *workflow.Interrupted) {
				w.Request.Clusters[0].Cluster.Automaton.BroadcastEnv[0].Retries += 5
			},
			map[string]string{"n1": "deploy_failed"}, "this version of it would take other steps on cluster lab",
		},
		"a hole in the journal": {
			func(w *workflow.Interrupted) { w.Records = w.Records[1:] },
			map[string]string{"n1": "deploy_failed"}, "record 2 of cluster lab follows record 0",
		},
		"no files yet": {
			func(w *workflow.Interrupted) { w.Launched, w.Records = false, nil },
			map[string]string{"n1": "deploying"}, "before the files were there", // by somebody else
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := past(t, 3*time.Second)
				w.Request.Created = time.Now()
				c.change(&w)
				b := newBench(t, nil)
				defer b.close()
				b.memory.states["n1"] = "deploying"
				if err := b.Recover(t.Context(), []workflow.Interrupted{w}); err != nil {
					t.Fatal(err)
				}
				v := b.wait("D-1")
				check(t, "ko", []string{"n1"}, v.KO)
				check(t, "store", c.states, b.memory.states)
				check(t, "ended", []string{"D-1"}, b.memory.ended)
				check(t, "calls", 0, len(b.script.calls))
				states, _ := b.States("D-1")
				if !strings.Contains(states["n1"].Error, c.reason) {
					t.Errorf("error %q, want %q", states["n1"].Error, c.reason)
				}
			})
		})
	}
}

// The time that the coordinator was away is nobody's: the instance's clock stands still.
func TestTimeAwayDoesNotCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := past(t, 10*time.Minute)
		var late time.Duration
		b := newBench(t, func(ctx context.Context, task *workflow.Task, node string) error {
			if task.Again {
				begin := time.Now()
				err := sleep(ctx, time.Hour)
				late = time.Since(begin)
				return err
			}
			return sleep(ctx, time.Second)
		})
		defer b.close()
		if err := b.Recover(t.Context(), []workflow.Interrupted{w}); err != nil {
			t.Fatal(err)
		}
		check(t, "ok", []string{"n1"}, b.wait("D-1").OK)
		// The instance has 200 s; between 1 and 2 of them were used up.
		if late < 197*time.Second || late > 199*time.Second {
			t.Errorf("the step was killed after %v", late)
		}
	})
}

// What cannot be understood ends, and holds up neither the start nor the others.
func TestRecoverWhatCannotBeUnderstood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, nil)
		defer b.close()
		planless := workflow.Interrupted{Request: deployment("D-3", lab("lab", "n3")), Launched: true}
		planless.Request.Env = nil // as if a version that knows other rules had taken it
		b.memory.states["n3"] = "deploying"
		all := []workflow.Interrupted{
			{Request: &workflow.Request{ID: "D-2"}, Unreadable: errors.New("request of workflow D-2: no JSON")}, planless, past(t, time.Minute),
		}
		if err := b.Recover(t.Context(), all); err != nil {
			t.Fatal(err)
		}
		check(t, "ok", []string{"n1"}, b.wait("D-1").OK)
		check(t, "ended", []string{"D-2", "D-3", "D-1"}, b.memory.ended)
		check(t, "state", "deploy_failed", b.memory.states["n3"])
	})
}

// A coordinator that stops in order leaves its workflows to the next one: nothing
// that its end makes of the steps is journalled.
func TestSuspend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, nil)
		b.submit(deployment("D-1", lab("lab", "n1", "n2")), nil)
		b.submit(deployment("D-2", lab("lab", "n3")), func(ctx context.Context, _ func(int, string)) (Rest, error) { return nil, sleep(ctx, time.Hour) })
		time.Sleep(5500 * time.Millisecond)
		before := b.memory.last()
		cut := false
		if err := b.Suspend(t.Context(), func() { cut = true }); err != nil {
			t.Fatal(err)
		}
		if !cut || b.memory.last() != before || len(b.memory.ended) != 0 {
			t.Errorf("cut %v, %d records more, ended %v", cut, b.memory.last()-before, b.memory.ended)
		}
		check(t, "store", map[string]string{"n1": "deploying", "n2": "deploying"}, b.memory.states)
		if err := b.Submit(t.Context(), deployment("D-3", lab("lab", "n9")), nil); err == nil {
			t.Error("an order was taken after the end")
		}
		next := newBench(t, nil)
		defer next.close()
		next.memory.states, next.memory.records = b.memory.states, b.memory.records
		again := workflow.Interrupted{Request: b.memory.began["D-1"], Launched: true, Records: slices.Clone(b.memory.records)}
		if err := next.Recover(t.Context(), []workflow.Interrupted{again}); err != nil {
			t.Fatal(err)
		}
		check(t, "ok", []string{"n1", "n2"}, next.wait("D-1").OK)
	})
}
