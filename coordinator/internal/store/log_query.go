package store

import (
	"context"
	"database/sql"
	"fmt"
	"strings"

	"kadeploy/coordinator/internal/stats"
)

// logColumns are the fields of the log that are not shown as they are stored.
var logColumns = map[string]string{
	"success":        "CASE success WHEN 0 THEN 'false' ELSE 'true' END",
	"anonymous_env":  "CASE anonymous_env WHEN 0 THEN 'false' ELSE 'true' END",
	"step1_duration": "CAST(round(step1_duration) AS INTEGER)",
	"step2_duration": "CAST(round(step2_duration) AS INTEGER)",
	"step3_duration": "CAST(round(step3_duration) AS INTEGER)",
}

// LogRows calls each with the fields of every row that the query selects, as text and
// in its order, until each returns an error. The slice is used again for the next row.
// The error is a *stats.QueryError if the query cannot be.
func (s *Store) LogRows(ctx context.Context, q stats.Query, each func(fields []string) error) error {
	query, args, err := logQuery(q)
	if err != nil {
		return err
	}
	err = s.view(ctx, func(tx *sql.Tx) error {
		rows, err := tx.QueryContext(ctx, query, args...)
		if err != nil {
			return err
		}
		defer rows.Close()
		columns, err := rows.Columns()
		if err != nil {
			return err
		}
		fields, targets := make([]string, len(columns)), make([]any, len(columns))
		for i := range fields {
			targets[i] = &fields[i]
		}
		for rows.Next() {
			if err := rows.Scan(targets...); err != nil {
				return err
			}
			if err := each(fields); err != nil {
				return err
			}
		}
		return rows.Err()
	})
	if err != nil {
		return fmt.Errorf("read the log of operations: %w", err)
	}
	return nil
}

// logQuery is the statement of LogRows.
func logQuery(q stats.Query) (query string, args []any, err error) {
	if err := q.Complete(); err != nil {
		return "", nil, err
	}
	where, args := logConditions(q)
	var b strings.Builder
	b.WriteString("SELECT ")
	for i, f := range q.Fields {
		if i > 0 {
			b.WriteString(", ")
		}
		if column, ok := logColumns[f]; ok {
			f = column
		}
		b.WriteString(f)
	}
	fmt.Fprintf(&b, " FROM log WHERE %s ORDER BY ", where)
	for _, f := range q.Sort {
		name, reverse := strings.CutPrefix(f, "-")
		if q.MinRetries > 0 {
			b.WriteString("+") // few rows have retries: their index, and not that of the order
		}
		b.WriteString(name)
		if reverse {
			b.WriteString(" DESC")
		}
		b.WriteString(", ")
	}
	if strings.HasPrefix(q.Sort[0], "-") {
		b.WriteString("id DESC")
	} else {
		b.WriteString("id")
	}
	if q.Limit > 0 {
		b.WriteString(" LIMIT ?")
		args = append(args, q.Limit)
	}
	return b.String(), args, nil
}

// logConditions are those of a complete query.
func logConditions(q stats.Query) (where string, args []any) {
	all := []string{"1"}
	add := func(condition string, values ...any) {
		all = append(all, condition)
		args = append(args, values...)
	}
	if q.Operation != "" {
		add("operation = ?", stats.Letter(q.Operation))
	}
	if q.Workflow != "" {
		add("wid = ?", q.Workflow)
	}
	if len(q.Nodes) > 0 {
		nodes := make([]any, len(q.Nodes))
		for i, n := range q.Nodes {
			nodes[i] = n
		}
		add("hostname IN ("+marks(len(nodes))+")", nodes...)
	}
	if !q.From.IsZero() {
		add("start >= ?", q.From.Unix())
	}
	if !q.To.IsZero() {
		add("start <= ?", q.To.Unix())
	}
	if q.MinRetries > 0 {
		// The first condition is for the index.
		var any []string
		add("retries > 0 AND retries >= ?", q.MinRetries)
		for _, step := range q.RetrySteps {
			any = append(any, fmt.Sprintf("retry_step%d >= ?", step))
			args = append(args, q.MinRetries)
		}
		all = append(all, "("+strings.Join(any, " OR ")+")")
	}
	return strings.Join(all, " AND "), args
}

// marks are n parameters of a statement.
func marks(n int) string { return strings.TrimSuffix(strings.Repeat("?, ", n), ", ") }

// FailureRates tells of each node that the query selects how often operations on it
// failed, by name; only of those where that was at least as often as least.
func (s *Store) FailureRates(ctx context.Context, q stats.Query, least float64) ([]stats.FailureRate, error) {
	query, args, err := ratesQuery(q)
	if err != nil {
		return nil, err
	}
	var all []stats.FailureRate
	err = s.view(ctx, func(tx *sql.Tx) error {
		rows, err := tx.QueryContext(ctx, query, args...)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var node string
			var n, good int
			if err := rows.Scan(&node, &n, &good); err != nil {
				return err
			}
			if rate := 1 - float64(good)/float64(n); rate >= least {
				all = append(all, stats.FailureRate{Node: node, Rate: stats.Rate(rate), All: n})
			}
		}
		return rows.Err()
	})
	if err != nil {
		return nil, fmt.Errorf("read the log of operations: %w", err)
	}
	return all, nil
}

func ratesQuery(q stats.Query) (query string, args []any, err error) {
	if err := q.Complete(); err != nil {
		return "", nil, err
	}
	where, args := logConditions(q)
	// The plus keeps to the index that has all that is needed, in order of the nodes.
	where = strings.Replace(where, "operation = ?", "+operation = ?", 1)
	return "SELECT hostname, count(*), sum(success) FROM log WHERE " + where + " GROUP BY hostname ORDER BY hostname", args, nil
}
