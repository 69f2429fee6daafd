package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"

	"kadeploy/coordinator/internal/stats"
)

// lately is how many operations an expectation looks back on.
const lately = 20

const expectQuery = `SELECT seconds FROM log_micro
	WHERE cluster = ? AND env = ? AND env_user = ? AND anonymous_env = ? AND instance = ? AND micro = ? AND good > 0
	ORDER BY start DESC LIMIT ?`

// Expected tells how long a micro-step is expected to take: the median over the nodes
// that passed it in the last operations with the same environment on the same cluster.
func (s *Store) Expected(ctx context.Context, p stats.Passage) (stats.Expectation, error) {
	var e stats.Expectation
	var all []float64
	err := s.view(ctx, func(tx *sql.Tx) error {
		rows, err := tx.QueryContext(ctx, expectQuery, p.Cluster, p.Env, p.EnvOwner, p.Anonymous, p.Instance, p.Micro, lately)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var text string
			if err := rows.Scan(&text); err != nil {
				return err
			}
			var seconds []float64
			if err := json.Unmarshal([]byte(text), &seconds); err != nil {
				return err
			}
			all = append(all, seconds...)
			e.Operations++
		}
		return rows.Err()
	})
	if err != nil {
		return stats.Expectation{}, fmt.Errorf("look up how long %s of %s took: %w", p.Micro, p.Instance, err)
	}
	e.Seconds, _ = stats.Median(all)
	return e, nil
}
