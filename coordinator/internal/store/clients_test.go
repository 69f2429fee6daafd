package store

import (
	"fmt"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"kadeploy/coordinator/internal/env"
	"kadeploy/coordinator/internal/stats"
	"kadeploy/coordinator/internal/workflow"
)

// 200 clients at once read and write all there is: none is told that the database
// is locked, and nothing is lost.
func TestManyClients(t *testing.T) {
	s := open(t)
	r := s.Registry([]string{"root"})
	j := s.Journal()
	const clients, rounds = 200, 3
	work := func(i int) error {
		ctx, user := t.Context(), fmt.Sprintf("user%d", i)
		who, node := Caller{User: user}, fmt.Sprintf("node-%d", i)
		for round := range rounds {
			e, err := r.AddEnvironment(ctx, who, "", description("mine", round+1, "shared"))
			if err != nil {
				return fmt.Errorf("add: %w", err)
			}
			if _, err := r.UpdateEnvironment(ctx, who, e.ID, func(d *env.Description) error { d.Author = user; return nil }); err != nil {
				return fmt.Errorf("update: %w", err)
			}
			id := fmt.Sprintf("D-%d-%d", i, round)
			if err := j.Begin(ctx, &workflow.Request{ID: id}); err != nil {
				return fmt.Errorf("begin: %w", err)
			}
			u := workflow.NodeUpdate{Workflow: id, State: "deploying", User: user, At: time.Now()}
			if busy, err := s.Claim(ctx, []string{node}, u, time.Now()); err != nil || len(busy) > 0 {
				return fmt.Errorf("claim: %v, %w", busy, err)
			}
			if err := j.Append(ctx, []workflow.Record{{Workflow: id, Seq: 1, At: time.Now()}}); err != nil {
				return fmt.Errorf("append: %w", err)
			}
			u.State = "deployed"
			if err := s.Settle(ctx, []string{node}, u); err != nil {
				return fmt.Errorf("settle: %w", err)
			}
			if err := j.End(ctx, id, &stats.Record{Rows: []stats.Row{logged(id, node, round, nil)}}); err != nil {
				return fmt.Errorf("end: %w", err)
			}
			if found, err := r.Environments(ctx, who, EnvironmentQuery{Owner: user}); err != nil || len(found) != round+1 || found[0].Author != user {
				return fmt.Errorf("list: %d environments, %w", len(found), err)
			}
			rows := 0
			if err := s.LogRows(ctx, stats.Query{Nodes: []string{node}}, func([]string) error { rows++; return nil }); err != nil || rows != round+1 {
				return fmt.Errorf("statistics: %d rows, %w", rows, err)
			}
			if _, err := s.FailureRates(ctx, stats.Query{}, 0); err != nil {
				return fmt.Errorf("failure rates: %w", err)
			}
		}
		return nil
	}
	var all errgroup.Group
	for i := range clients {
		all.Go(func() error {
			if err := work(i); err != nil {
				t.Errorf("client %d: %v", i, err)
			}
			return nil
		})
	}
	all.Wait()
	for table, want := range map[string]int{"environments": clients * rounds, "log": clients * rounds, "journal_records": clients * rounds, "nodes": clients} {
		if n := count(t, s, table); n != want {
			t.Errorf("%s has %d rows, want %d", table, n, want)
		}
	}
}
