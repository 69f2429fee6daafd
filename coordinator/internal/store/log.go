package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"math"

	"kadeploy/coordinator/internal/stats"
)

// insertRecord writes what is kept of an operation that is over.
func insertRecord(ctx context.Context, tx *sql.Tx, wid string, kept *stats.Record) error {
	if err := insertRows(ctx, tx, kept.Rows); err != nil {
		return fmt.Errorf("log of %s: %w", wid, err)
	}
	if len(kept.Rows) == 0 {
		return nil
	}
	if err := insertMicros(ctx, tx, &kept.Rows[0], kept.Micros); err != nil {
		return fmt.Errorf("micro-steps of %s: %w", wid, err)
	}
	return nil
}

func insertRows(ctx context.Context, tx *sql.Tx, rows []stats.Row) error {
	insert, err := tx.PrepareContext(ctx, `INSERT INTO log (wid, user, hostname, step1, step2, step3,
		timeout_step1, timeout_step2, timeout_step3, retry_step1, retry_step2, retry_step3,
		start, step1_duration, step2_duration, step3_duration, env, env_user, anonymous_env, success, error, cluster,
		operation, retries) VALUES (`+marks(24)+`)`)
	if err != nil {
		return err
	}
	defer insert.Close()
	for i := range rows {
		r := &rows[i]
		s := &r.Steps
		_, err := insert.ExecContext(ctx, r.Workflow, r.User, r.Node, s[0].Name, s[1].Name, s[2].Name,
			int(s[0].Timeout.Seconds()), int(s[1].Timeout.Seconds()), int(s[2].Timeout.Seconds()),
			s[0].Retries, s[1].Retries, s[2].Retries,
			r.Start.Unix(), s[0].Duration.Seconds(), s[1].Duration.Seconds(), s[2].Duration.Seconds(),
			r.Env, r.EnvOwner, r.Anonymous, r.Success, r.Error, r.Cluster,
			r.Workflow[:min(1, len(r.Workflow))], max(s[0].Retries, s[1].Retries, s[2].Retries))
		if err != nil {
			return fmt.Errorf("node %s: %w", r.Node, err)
		}
	}
	return nil
}

// insertMicros takes what all micro-steps of an operation have in common from one of its rows.
func insertMicros(ctx context.Context, tx *sql.Tx, of *stats.Row, micros []stats.Micro) error {
	insert, err := tx.PrepareContext(ctx, `INSERT INTO log_micro (wid, cluster, macro, instance, micro, position,
		env, env_user, anonymous_env, start, good, failed, seconds) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`)
	if err != nil {
		return err
	}
	defer insert.Close()
	for i := range micros {
		m := &micros[i]
		rounded := make([]float64, len(m.Seconds))
		for k, s := range m.Seconds {
			rounded[k] = math.Round(s*1000) / 1000 // finer is noise, and takes room
		}
		seconds, err := json.Marshal(rounded)
		if err != nil {
			return err
		}
		_, err = insert.ExecContext(ctx, of.Workflow, m.Cluster, m.Macro, m.Instance, m.Name, i,
			of.Env, of.EnvOwner, of.Anonymous, of.Start.Unix(), len(rounded), m.Failed, string(seconds))
		if err != nil {
			return fmt.Errorf("%s of %s: %w", m.Name, m.Instance, err)
		}
	}
	return nil
}
