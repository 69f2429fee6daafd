package store

import (
	"context"
	"database/sql"
	"fmt"
	"strconv"
	"strings"
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
	var r stats.Row
	var seconds [3]float64
	targets := []any{&r.Workflow, &r.Cluster, &r.Env, &r.Success, &r.Steps[0].Name, &r.Steps[1].Name, &r.Steps[2].Name,
		&seconds[0], &seconds[1], &seconds[2]}
	for rows.Next() {
		if err := rows.Scan(targets...); err != nil {
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
	rows, err := tx.QueryContext(ctx, `SELECT env, macro, instance, micro, position, failed, seconds FROM log_micro
		WHERE substr(wid, 1, 1) = ? AND `+where, append([]any{stats.Letter(p.Operation)}, args...)...)
	if err != nil {
		return err
	}
	defer rows.Close()
	var m stats.Micro
	var env string
	var position int
	var list []byte
	targets := []any{&env, &m.Macro, &m.Instance, &m.Name, &position, &m.Failed, &list}
	for rows.Next() {
		if err := rows.Scan(targets...); err != nil {
			return err
		}
		if !p.Matches(env) {
			continue
		}
		if m.Seconds, err = appendNumbers(m.Seconds[:0], list); err != nil {
			return err
		}
		digest.Micro(&m, position)
	}
	return rows.Err()
}

// appendNumbers reads a list of numbers in JSON, as the log has hundreds of thousands
// of them: much faster than what reads any JSON.
func appendNumbers(to []float64, list []byte) ([]float64, error) {
	text := strings.TrimSpace(string(list))
	inner, opened := strings.CutPrefix(text, "[")
	inner, closed := strings.CutSuffix(inner, "]")
	if !opened || !closed {
		return to, fmt.Errorf("%q is not a list of numbers", text)
	}
	if strings.TrimSpace(inner) == "" {
		return to, nil
	}
	for number := range strings.SplitSeq(inner, ",") {
		f, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
		if err != nil {
			return to, fmt.Errorf("%q is not a list of numbers: %w", text, err)
		}
		to = append(to, f)
	}
	return to, nil
}
