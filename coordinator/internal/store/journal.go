package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"kadeploy/coordinator/internal/stats"
	"kadeploy/coordinator/internal/workflow"
)

// Journal keeps the transitions of workflows (engine.Journal). What a method was
// given is on the disk when it returns nil.
type Journal struct {
	NoLog bool // nothing is written into the log of operations

	store *Store
}

// journalKept is how long the journal of a finished workflow is kept.
const journalKept = 7 * 24 * time.Hour

// Journal is the journal in this database. There should be one per Store.
func (s *Store) Journal() *Journal { return &Journal{store: s} }

// Accept notes that a workflow was ordered. Its files may not have been fetched yet.
func (j *Journal) Accept(ctx context.Context, req *workflow.Request) error {
	return j.begin(ctx, req, `INSERT INTO journal_workflows (id, request, begun) VALUES (?1, ?2, ?3)`)
}

// Begin notes that a workflow, accepted or not, starts. All of its request is kept:
// nothing else is needed to know what it was about.
func (j *Journal) Begin(ctx context.Context, req *workflow.Request) error {
	return j.begin(ctx, req, `INSERT INTO journal_workflows (id, request, begun, launched) VALUES (?1, ?2, ?3, ?3)
		ON CONFLICT (id) DO UPDATE SET request = ?2, launched = ?3 WHERE launched IS NULL AND ended IS NULL`)
}

func (j *Journal) begin(ctx context.Context, req *workflow.Request, statement string) error {
	text, err := json.Marshal(req)
	if err != nil {
		return fmt.Errorf("journal workflow %s: encode request: %w", req.ID, err)
	}
	err = j.store.update(ctx, func(ctx context.Context, tx *sql.Tx) error {
		done, err := tx.ExecContext(ctx, statement, req.ID, string(text), j.store.now().UnixNano())
		if err != nil {
			return err
		}
		if n, err := done.RowsAffected(); err != nil || n != 1 {
			return errors.Join(err, errors.New("it was begun before"))
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("journal workflow %s: %w", req.ID, err)
	}
	return nil
}

// Complete replaces the request of a workflow that was begun.
func (j *Journal) Complete(ctx context.Context, req *workflow.Request) error {
	text, err := json.Marshal(req)
	if err != nil {
		return fmt.Errorf("journal workflow %s: encode request: %w", req.ID, err)
	}
	err = j.store.update(ctx, func(ctx context.Context, tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, "UPDATE journal_workflows SET request = ? WHERE id = ?", string(text), req.ID)
		return err
	})
	if err != nil {
		return fmt.Errorf("journal the files of workflow %s: %w", req.ID, err)
	}
	return nil
}

// Append adds transitions, all or none.
func (j *Journal) Append(ctx context.Context, records []workflow.Record) error {
	if len(records) == 0 {
		return nil
	}
	encoded := make([]string, len(records)) // outside of the transaction, which others wait for
	for i, r := range records {
		events := r.Events
		if events == nil {
			events = []workflow.Event{}
		}
		text, err := json.Marshal(events)
		if err != nil {
			return transitionError(r, err)
		}
		encoded[i] = string(text)
	}
	err := j.store.update(ctx, func(ctx context.Context, tx *sql.Tx) error {
		for i, r := range records {
			_, err := tx.ExecContext(ctx, "INSERT INTO journal_records (workflow, cluster, seq, at, events) VALUES (?, ?, ?, ?, ?)",
				r.Workflow, r.Cluster, r.Seq, r.At.UnixNano(), encoded[i])
			if err != nil {
				return transitionError(r, err)
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("journal workflow %s: %w", records[0].Workflow, err)
	}
	return nil
}

func transitionError(r workflow.Record, err error) error {
	return fmt.Errorf("transition %d of cluster %d: %w", r.Seq, r.Cluster, err)
}

// End notes that a workflow is over, writes what is kept of it (nil: nothing) into
// the log of operations, and drops the journals of those that have been for long.
func (j *Journal) End(ctx context.Context, id string, kept *stats.Record) error {
	now := j.store.now()
	err := j.store.update(ctx, func(ctx context.Context, tx *sql.Tx) error {
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

// Unfinished lists the workflows that were accepted and not ended, oldest first. One
// that cannot be read is listed, too: the others must not wait for it.
func (j *Journal) Unfinished(ctx context.Context) ([]workflow.Interrupted, error) {
	return j.read(ctx, "ended IS NULL")
}

// Find is a workflow of the last days, ended or not; ok is false if there is none.
func (j *Journal) Find(ctx context.Context, id string) (found workflow.Interrupted, ok bool, err error) {
	all, err := j.read(ctx, "id = ?", id)
	if err == nil && len(all) > 0 {
		err = all[0].Unreadable
	}
	if err != nil || len(all) == 0 {
		return workflow.Interrupted{}, false, err
	}
	return all[0], true, nil
}

func (j *Journal) read(ctx context.Context, condition string, args ...any) ([]workflow.Interrupted, error) {
	var all []workflow.Interrupted
	err := j.store.view(ctx, func(tx *sql.Tx) error {
		var err error
		all, err = interrupted(ctx, tx, condition, args...)
		if err != nil {
			return err
		}
		for i := range all {
			w := &all[i]
			if w.Unreadable != nil {
				continue
			}
			if w.Records, w.Unreadable, err = journalled(ctx, tx, w.Request.ID); err != nil {
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

func interrupted(ctx context.Context, tx *sql.Tx, condition string, args ...any) ([]workflow.Interrupted, error) {
	rows, err := tx.QueryContext(ctx, "SELECT id, request, launched IS NOT NULL, ended IS NOT NULL FROM journal_workflows WHERE "+condition+" ORDER BY begun, id", args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []workflow.Interrupted
	for rows.Next() {
		var id, text string
		w := workflow.Interrupted{Request: &workflow.Request{}}
		if err := rows.Scan(&id, &text, &w.Launched, &w.Ended); err != nil {
			return nil, err
		}
		if err := json.Unmarshal([]byte(text), w.Request); err != nil {
			w.Request, w.Unreadable = &workflow.Request{ID: id}, fmt.Errorf("request of workflow %s: %w", id, err)
		}
		all = append(all, w)
	}
	return all, rows.Err()
}

// journalled are the transitions of a workflow, or why they cannot be understood.
func journalled(ctx context.Context, tx *sql.Tx, id string) (records []workflow.Record, unreadable, err error) {
	rows, err := tx.QueryContext(ctx, "SELECT cluster, seq, at, events FROM journal_records WHERE workflow = ? ORDER BY cluster, seq", id)
	if err != nil {
		return nil, nil, err
	}
	defer rows.Close()
	for rows.Next() {
		r := workflow.Record{Workflow: id}
		var at int64
		var text string
		if err := rows.Scan(&r.Cluster, &r.Seq, &at, &text); err != nil {
			return nil, nil, err
		}
		r.At = time.Unix(0, at)
		if err := json.Unmarshal([]byte(text), &r.Events); err != nil {
			return nil, fmt.Errorf("transition %d of workflow %s: %w", r.Seq, id, err), nil
		}
		records = append(records, r)
	}
	return records, nil, rows.Err()
}
