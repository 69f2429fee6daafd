package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"time"

	"kadeploy/coordinator/internal/workflow"
)

// NodeInfo is the last that is known of a node.
type NodeInfo struct {
	State string // contract 4.10
	User  string
	Since time.Time
	Env   *Environment // nil: none, an anonymous one, or one that was removed since
}

// noEnvironment stands for an anonymous environment, or none.
const noEnvironment = -1

// Claim gives nodes the state u, all but those that are in a state ending in
// "ing", of another workflow, since a moment after since: these are returned,
// untouched. It is one transaction: two claims never both get a node.
func (s *Store) Claim(ctx context.Context, nodes []string, u workflow.NodeUpdate, since time.Time) (busy []string, err error) {
	busy, err = s.setNodes(ctx, nodes, u, `NOT (nodes.state GLOB '*ing' AND nodes.date > ?7 AND nodes.workflow <> ?6)`, since.Unix())
	if err != nil {
		return nil, fmt.Errorf("claim nodes for %s: %w", u.Workflow, err)
	}
	return busy, nil
}

// Settle gives the state u to those of the nodes that no other workflow has claimed
// since, by force or because nobody knew of this one any more.
func (s *Store) Settle(ctx context.Context, nodes []string, u workflow.NodeUpdate) error {
	if _, err := s.setNodes(ctx, nodes, u, `nodes.workflow IN (?6, '')`); err != nil {
		return fmt.Errorf("set nodes %s for %s: %w", u.State, u.Workflow, err)
	}
	return nil
}

// Abandon gives the state u to those of the nodes that are in a state ending in
// "ing", unless another workflow gave it to them.
func (s *Store) Abandon(ctx context.Context, nodes []string, u workflow.NodeUpdate) error {
	if _, err := s.setNodes(ctx, nodes, u, `nodes.state GLOB '*ing' AND nodes.workflow IN (?6, '')`); err != nil {
		return fmt.Errorf("abandon nodes of %s: %w", u.Workflow, err)
	}
	return nil
}

// Lost lists those of the nodes that are not in a state ending in "ing" of the workflow (any more).
func (s *Store) Lost(ctx context.Context, nodes []string, workflow string) (lost []string, err error) {
	if len(nodes) == 0 {
		return nil, nil
	}
	list, err := json.Marshal(nodes)
	if err != nil {
		return nil, err
	}
	err = s.view(ctx, func(tx *sql.Tx) error {
		rows, err := tx.QueryContext(ctx, `SELECT value FROM json_each(?) WHERE value NOT IN
			(SELECT name FROM nodes WHERE state GLOB '*ing' AND workflow IN (?, ''))`, string(list), workflow)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var name string
			if err := rows.Scan(&name); err != nil {
				return err
			}
			lost = append(lost, name)
		}
		return rows.Err()
	})
	if err != nil {
		return nil, fmt.Errorf("read which nodes %s holds: %w", workflow, err)
	}
	return lost, nil
}

// setNodes updates the nodes that are new or meet the condition, and returns the others.
func (s *Store) setNodes(ctx context.Context, nodes []string, u workflow.NodeUpdate, condition string, args ...any) (others []string, err error) {
	id := sql.NullInt64{} // NULL: the node keeps the environment that it had
	if u.Env != nil {
		id = sql.NullInt64{Int64: u.Env.ID, Valid: true}
	}
	err = s.update(ctx, func(ctx context.Context, tx *sql.Tx) error {
		set, err := tx.PrepareContext(ctx, `INSERT INTO nodes (name, state, environment, user, date, workflow)
			VALUES (?1, ?2, coalesce(?3, -1), ?4, ?5, ?6)
			ON CONFLICT (name) DO UPDATE SET state = ?2, environment = coalesce(?3, environment), user = ?4, date = ?5, workflow = ?6
			WHERE `+condition)
		if err != nil {
			return err
		}
		defer set.Close()
		others = nil
		for _, node := range nodes {
			result, err := set.ExecContext(ctx, append([]any{node, u.State, id, u.User, u.At.Unix(), u.Workflow}, args...)...)
			if err != nil {
				return err
			}
			if n, err := result.RowsAffected(); err != nil {
				return err
			} else if n == 0 {
				others = append(others, node)
			}
		}
		return nil
	})
	return others, err
}

// Nodes tells what is known of the named nodes; of all that were ever operated
// on if names is nil. There is no entry for a node that never was.
func (s *Store) Nodes(ctx context.Context, names []string) (map[string]NodeInfo, error) {
	infos := make(map[string]NodeInfo)
	err := s.view(ctx, func(tx *sql.Tx) error {
		ids, err := nodeRows(ctx, tx, names, infos)
		if err != nil {
			return err
		}
		known := make(map[int64]*Environment)
		for node, id := range ids {
			if _, read := known[id]; !read {
				if known[id], err = environmentOf(ctx, tx, id); err != nil {
					return err
				}
			}
			info := infos[node]
			info.Env = known[id]
			infos[node] = info
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read states of nodes: %w", err)
	}
	return infos, nil
}

// nodeRows fills infos, and returns the number of each node's environment.
func nodeRows(ctx context.Context, tx *sql.Tx, names []string, infos map[string]NodeInfo) (map[string]int64, error) {
	query, args := `SELECT name, state, user, date, environment FROM nodes`, []any{}
	if names != nil {
		list, err := json.Marshal(names)
		if err != nil {
			return nil, err
		}
		query, args = query+` WHERE name IN (SELECT value FROM json_each(?))`, []any{string(list)}
	}
	rows, err := tx.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	ids := make(map[string]int64)
	for rows.Next() {
		var name string
		var info NodeInfo
		var date, id int64
		if err := rows.Scan(&name, &info.State, &info.User, &date, &id); err != nil {
			return nil, err
		}
		info.Since = time.Unix(date, 0)
		infos[name], ids[name] = info, id
	}
	return ids, rows.Err()
}

// environmentOf is nil for an environment that is anonymous or was removed.
func environmentOf(ctx context.Context, tx *sql.Tx, id int64) (*Environment, error) {
	if id == noEnvironment {
		return nil, nil
	}
	list, err := selectEnvironments(ctx, tx, "id = ?", []any{id})
	if err != nil || len(list) == 0 {
		return nil, err
	}
	return &list[0], nil
}

// States is the state of every node that was ever operated on.
func (s *Store) States(ctx context.Context) (map[string]string, error) {
	states := make(map[string]string)
	err := s.view(ctx, func(tx *sql.Tx) error {
		rows, err := tx.QueryContext(ctx, "SELECT name, state FROM nodes")
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var name, state string
			if err := rows.Scan(&name, &state); err != nil {
				return err
			}
			states[name] = state
		}
		return rows.Err()
	})
	if err != nil {
		return nil, fmt.Errorf("read the states of nodes: %w", err)
	}
	return states, nil
}
