package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"kadeploy/coordinator/internal/workflow"
)

// Changes that wait while another is written share its successor; one that fails
// undoes its own rows only.
func TestCommitsTogether(t *testing.T) {
	s := open(t)
	began, free := make(chan struct{}), make(chan struct{})
	first := make(chan error, 1)
	go func() {
		first <- s.update(t.Context(), func(context.Context, *sql.Tx) error { close(began); <-free; return nil })
	}()
	<-began
	boom := errors.New("boom")
	seen := make(map[*sql.Tx]int)
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			err := s.update(t.Context(), func(ctx context.Context, tx *sql.Tx) error {
				seen[tx]++
				if _, err := tx.ExecContext(ctx, "INSERT INTO rights VALUES (?, 'n', 'p')", fmt.Sprint(i)); err != nil {
					return err
				}
				if i%4 == 0 {
					return boom
				}
				return nil
			})
			if (err != nil) != (i%4 == 0) || err != nil && !errors.Is(err, boom) {
				t.Errorf("change %d: %v", i, err)
			}
		})
	}
	late, giveUp := context.WithCancel(t.Context())
	wg.Go(func() {
		err := s.update(late, func(context.Context, *sql.Tx) error { t.Error("a change was made whose caller had gone"); return nil })
		if !errors.Is(err, context.Canceled) {
			t.Errorf("given up: %v", err)
		}
	})
	for waiting := 0; waiting < 21; time.Sleep(time.Millisecond) {
		s.commits.mu.Lock()
		waiting = len(s.commits.waiting)
		s.commits.mu.Unlock()
	}
	giveUp()
	time.Sleep(10 * time.Millisecond)
	close(free)
	wg.Wait()
	if err := <-first; err != nil {
		t.Error(err)
	}
	if len(seen) != 1 {
		t.Errorf("%d transactions for 20 changes that waited together", len(seen))
	}
	if n := count(t, s, "rights"); n != 15 {
		t.Errorf("%d rows, want 15", n)
	}
}

// BenchmarkJournal appends transitions from many workflows at once, and, in the same
// run, one by one. ratio is how many times as long one by one takes:
//
//	go test -run - -bench Journal -benchtime 4000x ./coordinator/internal/store
func BenchmarkJournal(b *testing.B) {
	s, err := Open(b.Context(), b.TempDir()+"/db")
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	j := s.Journal()
	const flows = 64
	for i := range flows {
		if err := j.Begin(b.Context(), journalRequest(fmt.Sprintf("D-%d", i))); err != nil {
			b.Fatal(err)
		}
	}
	seq := make([]int, flows)
	add := func(i int) {
		seq[i]++
		err := j.Append(context.Background(), []workflow.Record{{
			Workflow: fmt.Sprintf("D-%d", i), Seq: seq[i], At: time.Now(),
			Events: []workflow.Event{{Kind: workflow.Passed, Task: seq[i], Node: "node-1.lab"}},
		}})
		if err != nil {
			b.Error(err)
		}
	}
	b.ResetTimer()
	var wg sync.WaitGroup
	for i := range flows {
		wg.Go(func() {
			for range (b.N + flows - 1) / flows {
				add(i)
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	together := b.Elapsed().Seconds() / float64(b.N)
	alone := min(b.N, 400)
	begin := time.Now()
	for range alone {
		add(0)
	}
	single := time.Since(begin).Seconds() / float64(alone)
	b.ReportMetric(together*1e3, "ms/transition")
	b.ReportMetric(single*1e3, "ms/alone")
	b.ReportMetric(single/together, "ratio")
}
