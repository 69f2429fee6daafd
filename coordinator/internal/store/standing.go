package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"time"
)

// BootsSince tells of those of the nodes that the workflow id was the last to work on, and
// whose agent has proved itself, when they were given the token for the boot that they are in.
func (s *Store) BootsSince(ctx context.Context, id string, nodes []string) (map[string]time.Time, error) {
	list, err := json.Marshal(nodes)
	if err != nil {
		return nil, err
	}
	boots := make(map[string]time.Time)
	err = s.view(ctx, func(tx *sql.Tx) error {
		rows, err := tx.QueryContext(ctx, `SELECT n.name, p.minted FROM nodes n JOIN agent_proofs p ON p.node = n.name
			WHERE n.workflow = ? AND p.key <> '' AND n.name IN (SELECT value FROM json_each(?))`, id, string(list))
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var name string
			var minted int64
			if err := rows.Scan(&name, &minted); err != nil {
				return err
			}
			boots[name] = time.Unix(minted, 0)
		}
		return rows.Err()
	})
	if err != nil {
		return nil, fmt.Errorf("look up the boots of the nodes of %s: %w", id, err)
	}
	return boots, nil
}
