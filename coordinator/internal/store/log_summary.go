package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"time"

	"kadeploy/coordinator/internal/stats"
)

// LogSummary is how operations went over a period.
func (s *Store) LogSummary(ctx context.Context, p stats.Period) (*stats.Summary, error) {
	digest := stats.NewDigest()
	err := s.view(ctx, func(tx *sql.Tx) error {
		if err := digestRows(ctx, tx, p, digest); err != nil {
			return err
		}
		return digestMicros(ctx, tx, p, digest)
	})
	if err != nil {
		return nil, fmt.Errorf("summarize the log of operations: %w", err)
	}
	return digest.Summary(p), nil
}

// periodConditions say the same of both tables. Names of environments are compared by
// stats.Period, as a name without a version means all of its versions.
func periodConditions(p stats.Period) (where string, args []any) {
	where, args = "start BETWEEN ? AND ?", []any{p.From.Unix(), p.To.Unix()}
	if p.Cluster != "" {
		where, args = where+" AND cluster = ?", append(args, p.Cluster)
	}
	return where, args
}

func digestRows(ctx context.Context, tx *sql.Tx, p stats.Period, digest *stats.Digest) error {
	where, args := periodConditions(p)
	rows, err := tx.QueryContext(ctx, `SELECT wid, cluster, env, success, step1, step2, step3, step1_duration, step2_duration, step3_duration
		FROM log WHERE operation = ? AND `+where, append([]any{stats.Letter(p.Operation)}, args...)...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var r stats.Row
		var seconds [3]float64
		err := rows.Scan(&r.Workflow, &r.Cluster, &r.Env, &r.Success, &r.Steps[0].Name, &r.Steps[1].Name, &r.Steps[2].Name,
			&seconds[0], &seconds[1], &seconds[2])
		if err != nil {
			return err
		}
		for i, s := range seconds {
			r.Steps[i].Duration = time.Duration(s * float64(time.Second))
		}
		if p.Matches(r.Env) {
			digest.Row(&r)
		}
	}
	return rows.Err()
}

func digestMicros(ctx context.Context, tx *sql.Tx, p stats.Period, digest *stats.Digest) error {
	where, args := periodConditions(p)
	rows, err := tx.QueryContext(ctx, `SELECT env, macro, instance, micro, failed, seconds FROM log_micro
		WHERE substr(wid, 1, 1) = ? AND `+where+` ORDER BY start, wid, position`, append([]any{stats.Letter(p.Operation)}, args...)...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var m stats.Micro
		var env, seconds string
		if err := rows.Scan(&env, &m.Macro, &m.Instance, &m.Name, &m.Failed, &seconds); err != nil {
			return err
		}
		if !p.Matches(env) {
			continue
		}
		if err := json.Unmarshal([]byte(seconds), &m.Seconds); err != nil {
			return err
		}
		digest.Micro(&m)
	}
	return rows.Err()
}
