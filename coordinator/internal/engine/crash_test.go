package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"kadeploy/coordinator/internal/stats"
	"kadeploy/coordinator/internal/store"
	"kadeploy/coordinator/internal/workflow"
)

var errDead = errors.New("the coordinator is dead")

// doomed is a store whose coordinator dies at its write number at, before or after
// it is committed. Nothing is written, or heard, after that.
type doomed struct {
	store   *store.Store
	journal *store.Journal
	die     func()

	mu     sync.Mutex
	writes int
	at     int // 0: never
	after  bool
	dead   bool
}

func (d *doomed) write(do func() error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.dead {
		return errDead
	}
	d.writes++
	if d.writes != d.at {
		return do()
	}
	if d.after {
		if err := do(); err != nil {
			return err
		}
	}
	d.dead = true
	d.die()
	return errDead
}

func (d *doomed) Accept(ctx context.Context, req *workflow.Request) error {
	return d.write(func() error { return d.journal.Accept(ctx, req) })
}
func (d *doomed) Begin(ctx context.Context, req *workflow.Request) error {
	return d.write(func() error { return d.journal.Begin(ctx, req) })
}
func (d *doomed) Complete(ctx context.Context, req *workflow.Request) error {
	return d.write(func() error { return d.journal.Complete(ctx, req) })
}
func (d *doomed) Append(ctx context.Context, records []workflow.Record) error {
	return d.write(func() error { return d.journal.Append(ctx, records) })
}
func (d *doomed) End(ctx context.Context, id string, kept *stats.Record) error {
	return d.write(func() error { return d.journal.End(ctx, id, kept) })
}
func (d *doomed) Claim(ctx context.Context, nodes []string, u workflow.NodeUpdate, since time.Time) (busy []string, err error) {
	err = d.write(func() error { busy, err = d.store.Claim(ctx, nodes, u, since); return err })
	return busy, err
}
func (d *doomed) Settle(ctx context.Context, nodes []string, u workflow.NodeUpdate) error {
	return d.write(func() error { return d.store.Settle(ctx, nodes, u) })
}
func (d *doomed) Abandon(ctx context.Context, nodes []string, u workflow.NodeUpdate) error {
	return d.write(func() error { return d.store.Abandon(ctx, nodes, u) })
}

func (d *doomed) Lost(ctx context.Context, nodes []string, workflow string) ([]string, error) {
	return d.store.Lost(ctx, nodes, workflow)
}

// world is the machines, which outlive coordinators: what was done to each, in order.
type world struct {
	mu    sync.Mutex
	done  map[string][]string // by node: workflow, instance and micro-step
	tasks map[string]int      // by task and node: how often it was completed
	fails func(t *workflow.Task, node string) bool
}

// Run does a task on machines that can tell whether they have done it before.
func (w *world) Run(ctx context.Context, t *workflow.Task, report func(string, error)) {
	var wg sync.WaitGroup
	for i, node := range t.Nodes {
		wg.Go(func() {
			key := t.ID + " " + node
			w.mu.Lock()
			before := w.tasks[key] > 0
			w.mu.Unlock()
			if t.Again && before {
				report(node, nil) // it looked first
				return
			}
			if err := sleep(ctx, time.Duration(i+1)*300*time.Millisecond); err != nil {
				report(node, err)
				return
			}
			w.mu.Lock()
			defer w.mu.Unlock()
			if w.fails != nil && w.fails(t, node) {
				report(node, errors.New("broken"))
				return
			}
			w.tasks[key]++
			w.done[node] = append(w.done[node], t.Request.ID+" "+t.Instance+" "+t.Micro)
			report(node, nil)
		})
	}
	wg.Wait()
}

// life is one coordinator, from its start to its death or the end of all workflows.
type life struct {
	*Engine
	doomed *doomed
}

func (w *world) begin(t *testing.T, path string, at int, after bool) *life {
	t.Helper()
	s, err := store.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	d := &doomed{store: s, journal: s.Journal(), at: at, after: after}
	steps := make(map[string]Step)
	for _, name := range deploymentSteps {
		steps[name] = w
	}
	e, err := New(Config{Steps: steps, Journal: d, States: d, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	d.die = func() { e.suspended.Store(true) }
	past, err := d.journal.Unfinished(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	l := &life{e, d}
	if err := e.Recover(t.Context(), past); err != nil && !errors.Is(err, errDead) {
		t.Fatal(err)
	}
	return l
}

// end waits until all workflows have ended or the coordinator is dead; it returns how many writes there were.
func (l *life) end(t *testing.T) (writes int, dead bool) {
	t.Helper()
	for range 10_000 {
		l.doomed.mu.Lock()
		dead = l.doomed.dead
		l.doomed.mu.Unlock()
		if dead || !slices.ContainsFunc(l.Views(""), func(v workflow.View) bool { return !v.Done }) {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	if dead {
		if err := l.Suspend(t.Context(), func() {}); err != nil {
			t.Fatal(err)
		}
	} else if err := l.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := l.doomed.store.Close(); err != nil {
		t.Fatal(err)
	}
	return l.doomed.writes, dead
}

// orders are two deployments that contend for a node.
func orders(l *life) {
	l.Submit(context.Background(), deployment("D-1", lab("lab", "n1", "n2")), nil) // an error is the death
	time.Sleep(700 * time.Millisecond)
	l.Submit(context.Background(), deployment("D-2", lab("lab", "n2", "n3")), nil)
}

// verify checks what must be true when all is over, however often the coordinator died.
func (w *world) verify(t *testing.T, path string, views map[string]workflow.View) {
	t.Helper()
	s, err := store.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if left, err := s.Journal().Unfinished(t.Context()); err != nil || len(left) > 0 {
		t.Errorf("%d workflows are unfinished, %v", len(left), err)
	}
	infos, err := s.Nodes(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for node, info := range infos {
		if strings.HasSuffix(info.State, "ing") {
			t.Errorf("node %s is still %s", node, info.State)
		}
	}
	for key, n := range w.tasks {
		if n > 1 {
			t.Errorf("%s was done %d times", key, n)
		}
	}
	for id, v := range views {
		if len(v.OK)+len(v.KO) != len(v.Nodes) {
			t.Errorf("%s: ok %v, ko %v of %v", id, v.OK, v.KO, v.Nodes)
		}
		for _, node := range v.OK {
			w.complete(t, id, node)
		}
	}
}

// complete checks that a node that succeeded has every micro-step of the last attempt
// of each macro-step behind it, in order: no command was lost.
func (w *world) complete(t *testing.T, id, node string) {
	t.Helper()
	plan, err := workflow.NewPlan(deployment(id, lab("lab", node)), lab("lab", node))
	if err != nil {
		t.Fatal(err)
	}
	at := len(w.done[node])
	for at > 0 && !strings.HasPrefix(w.done[node][at-1], id+" ") { // another workflow came after
		at--
	}
	for m := len(plan.Macros) - 1; m >= 0; m-- {
		found := false
		for _, in := range plan.Macros[m].Instances {
			n := len(in.Micros)
			if at < n {
				continue
			}
			same := true
			for i, micro := range in.Micros {
				same = same && w.done[node][at-n+i] == id+" "+in.Name+" "+micro.Name
			}
			if same {
				at, found = at-n, true
				break
			}
		}
		if !found {
			t.Errorf("%s: %s is not complete on %s, which is ok: %q", id, plan.Macros[m].Name, node, w.done[node])
			return
		}
		for at > 0 && m > 0 && !strings.Contains(w.done[node][at-1], plan.Macros[m-1].Name) {
			at-- // what earlier attempts of this macro-step did
		}
	}
}

// remember keeps how workflows ended: a coordinator that follows does not know those that had.
func remember(views map[string]workflow.View, l *life) {
	for _, v := range l.Views("") {
		if v.Done {
			views[v.ID] = v
		}
	}
}

// The coordinator dies at each write, before it is committed and after.
func TestCrashAtEachWrite(t *testing.T) {
	total := 0
	for k := 1; total == 0 || k <= total; k++ {
		for _, after := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				w := &world{done: make(map[string][]string), tasks: make(map[string]int)}
				path := filepath.Join(t.TempDir(), "db")
				views := make(map[string]workflow.View)
				first := w.begin(t, path, k, after)
				orders(first)
				writes, dead := first.end(t)
				remember(views, first)
				if !dead {
					total = writes // k is beyond the last one
					if writes < 30 {
						t.Fatalf("only %d writes", writes)
					}
				}
				time.Sleep(2 * time.Second)
				second := w.begin(t, path, 0, false)
				second.end(t)
				remember(views, second)
				w.verify(t, path, views)
				if t.Failed() {
					t.Fatalf("dead at write %d, committed: %v", k, after)
				}
			})
			if t.Failed() {
				return
			}
		}
	}
	t.Logf("%d writes", total)
}

// Nodes fail, and the coordinator dies again and again, at random, by seed.
func TestCrashAgainAndAgain(t *testing.T) {
	for seed := range uint64(15) {
		synctest.Test(t, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 1))
			trouble := rand.New(rand.NewPCG(seed, 2)) // drawn from by the machines, behind the lock of the world
			w := &world{done: make(map[string][]string), tasks: make(map[string]int)}
			failing := make(map[string]bool)
			w.fails = func(task *workflow.Task, node string) bool {
				key := task.ID + " " + node
				if _, known := failing[key]; !known { // the same whenever it is done again
					failing[key] = trouble.IntN(20) == 0
				}
				return failing[key]
			}
			path := filepath.Join(t.TempDir(), "db")
			views := make(map[string]workflow.View)
			first := w.begin(t, path, 1+rng.IntN(40), rng.IntN(2) == 0)
			orders(first)
			if rng.IntN(4) == 0 {
				first.Cancel("D-1", "")
			}
			_, dead := first.end(t)
			remember(views, first)
			for life := 0; dead; life++ {
				time.Sleep(time.Duration(rng.IntN(60)) * time.Second)
				at := 1 + rng.IntN(20)
				if life > 5 {
					at = 0
				}
				next := w.begin(t, path, at, rng.IntN(2) == 0)
				_, dead = next.end(t)
				remember(views, next)
			}
			w.verify(t, path, views)
			if t.Failed() {
				t.Fatal(fmt.Sprint("seed ", seed))
			}
		})
		if t.Failed() {
			return
		}
	}
}
