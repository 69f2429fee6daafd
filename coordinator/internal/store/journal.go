package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"kadeploy/coordinator/internal/stats"
	"kadeploy/coordinator/internal/workflow"
)

// Journal keeps the transitions of workflows (engine.Journal). What a method was
// given is on the disk when it returns nil. Transitions that several workflows
// append at the same time share one transaction, and so one flush.
type Journal struct {
	NoLog bool // nothing is written into the log of operations

	store *Store

	mu      sync.Mutex
	pending []*appending
	writing bool
}

// appending is one call of Append that waits for its transaction.
type appending struct {
	records []workflow.Record
	done    chan error
}

const (
	// journalKept is how long the journal of a finished workflow is kept.
	journalKept = 7 * 24 * time.Hour
	// journalWrite bounds one transaction.
	journalWrite = 30 * time.Second
)

// Journal is the journal in this database. There should be one per Store.
func (s *Store) Journal() *Journal { return &Journal{store: s} }

// Begin notes that a workflow starts. All of its request is kept: nothing else
// is needed to know what it was about.
func (j *Journal) Begin(ctx context.Context, req *workflow.Request) error {
	text, err := json.Marshal(req)
	if err != nil {
		return fmt.Errorf("journal workflow %s: encode request: %w", req.ID, err)
	}
	err = j.store.update(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, "INSERT INTO journal_workflows (id, request, begun) VALUES (?, ?, ?)", req.ID, string(text), j.store.now().UnixNano())
		return err
	})
	if err != nil {
		return fmt.Errorf("journal workflow %s: %w", req.ID, err)
	}
	return nil
}

// Append adds transitions, all or none.
func (j *Journal) Append(ctx context.Context, records []workflow.Record) error {
	if len(records) == 0 {
		return nil
	}
	a := &appending{records: records, done: make(chan error, 1)}
	j.mu.Lock()
	j.pending = append(j.pending, a)
	lead := !j.writing
	j.writing = true
	j.mu.Unlock()
	if lead {
		go j.write()
	}
	select {
	case err := <-a.done:
		return err
	case <-ctx.Done():
		return fmt.Errorf("journal workflow %s: %w", records[0].Workflow, ctx.Err())
	}
}

// write commits what is pending, again and again, until nothing is.
func (j *Journal) write() {
	for {
		j.mu.Lock()
		group := j.pending
		j.pending = nil
		if len(group) == 0 {
			j.writing = false
			j.mu.Unlock()
			return
		}
		j.mu.Unlock()
		if err := j.commit(group...); err == nil || len(group) == 1 {
			answer(group, err)
			continue
		}
		for _, a := range group { // one of them is at fault: the others shall not pay for it
			answer([]*appending{a}, j.commit(a))
		}
	}
}

func answer(group []*appending, err error) {
	for _, a := range group {
		a.done <- err
	}
}

func (j *Journal) commit(group ...*appending) error {
	ctx, cancel := context.WithTimeout(context.Background(), journalWrite)
	defer cancel()
	return j.store.update(ctx, func(tx *sql.Tx) error {
		insert, err := tx.PrepareContext(ctx, "INSERT INTO journal_records (workflow, cluster, seq, at, events) VALUES (?, ?, ?, ?, ?)")
		if err != nil {
			return err
		}
		defer insert.Close()
		for _, a := range group {
			for _, r := range a.records {
				events := r.Events
				if events == nil {
					events = []workflow.Event{}
				}
				text, err := json.Marshal(events)
				if err == nil {
					_, err = insert.ExecContext(ctx, r.Workflow, r.Cluster, r.Seq, r.At.UnixNano(), string(text))
				}
				if err != nil {
					return fmt.Errorf("journal workflow %s, transition %d of cluster %d: %w", r.Workflow, r.Seq, r.Cluster, err)
				}
			}
		}
		return nil
	})
}

// End notes that a workflow is over, writes what is kept of it (nil: nothing) into
// the log of operations, and drops the journals of those that have been for long.
func (j *Journal) End(ctx context.Context, id string, kept *stats.Record) error {
	now := j.store.now()
	err := j.store.update(ctx, func(tx *sql.Tx) error {
		done, err := tx.ExecContext(ctx, "UPDATE journal_workflows SET ended = ? WHERE id = ? AND ended IS NULL", now.UnixNano(), id)
		if err != nil {
			return err
		}
		if n, err := done.RowsAffected(); err != nil || n != 1 {
			return errors.Join(err, errors.New("it was not begun, or has ended before"))
		}
		if kept != nil && !j.NoLog {
			if err := insertRecord(ctx, tx, id, kept); err != nil {
				return err
			}
		}
		_, err = tx.ExecContext(ctx, "DELETE FROM journal_workflows WHERE ended < ?", now.Add(-journalKept).UnixNano())
		return err
	})
	if err != nil {
		return fmt.Errorf("journal the end of workflow %s: %w", id, err)
	}
	return nil
}

// Unfinished lists the workflows that were begun and not ended, oldest first.
func (j *Journal) Unfinished(ctx context.Context) ([]workflow.Interrupted, error) {
	var all []workflow.Interrupted
	err := j.store.view(ctx, func(tx *sql.Tx) error {
		var err error
		all, err = interrupted(ctx, tx)
		if err != nil {
			return err
		}
		for i := range all {
			if all[i].Records, err = journalled(ctx, tx, all[i].Request.ID); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read journal: %w", err)
	}
	return all, nil
}

func interrupted(ctx context.Context, tx *sql.Tx) ([]workflow.Interrupted, error) {
	rows, err := tx.QueryContext(ctx, "SELECT id, request FROM journal_workflows WHERE ended IS NULL ORDER BY begun, id")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []workflow.Interrupted
	for rows.Next() {
		var id, text string
		if err := rows.Scan(&id, &text); err != nil {
			return nil, err
		}
		req := &workflow.Request{}
		if err := json.Unmarshal([]byte(text), req); err != nil {
			return nil, fmt.Errorf("request of workflow %s: %w", id, err)
		}
		all = append(all, workflow.Interrupted{Request: req})
	}
	return all, rows.Err()
}

func journalled(ctx context.Context, tx *sql.Tx, id string) ([]workflow.Record, error) {
	rows, err := tx.QueryContext(ctx, "SELECT cluster, seq, at, events FROM journal_records WHERE workflow = ? ORDER BY cluster, seq", id)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var records []workflow.Record
	for rows.Next() {
		r := workflow.Record{Workflow: id}
		var at int64
		var text string
		if err := rows.Scan(&r.Cluster, &r.Seq, &at, &text); err != nil {
			return nil, err
		}
		r.At = time.Unix(0, at)
		if err := json.Unmarshal([]byte(text), &r.Events); err != nil {
			return nil, fmt.Errorf("transition %d of workflow %s: %w", r.Seq, id, err)
		}
		records = append(records, r)
	}
	return records, rows.Err()
}
