package store

import (
	"context"
	"database/sql"
	"encoding/json"

	"kadeploy/coordinator/internal/apperr"
)

// All, as node or partition of a right, stands for every one of them.
const All = "*"

// Right allows a user to use a partition of a node.
type Right struct {
	User, Node, Partition string
}

// ListRights lists rights: of one user, or on one node; "" stands for any.
// Rights on all nodes are in the list of each node.
func (s *Store) ListRights(ctx context.Context, user, node string) (rights []Right, err error) {
	err = s.view(ctx, func(tx *sql.Tx) error {
		rows, err := tx.QueryContext(ctx, `SELECT user, node, part FROM rights
			WHERE (?1 = '' OR user = ?1) AND (?2 = '' OR node = ?2 OR node = '*') ORDER BY user, node, part`, user, node)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var r Right
			if err := rows.Scan(&r.User, &r.Node, &r.Partition); err != nil {
				return err
			}
			rights = append(rights, r)
		}
		return rows.Err()
	})
	return rights, databaseError("list rights", err)
}

// Partitions are, by node, the partitions that a user has a right on. All stands
// for any node, and for any partition.
func (s *Store) Partitions(ctx context.Context, user string) (map[string][]string, error) {
	rights, err := s.ListRights(ctx, user, "")
	if err != nil || user == "" {
		return nil, err
	}
	parts := make(map[string][]string)
	for _, r := range rights {
		parts[r.Node] = append(parts[r.Node], r.Partition)
	}
	return parts, nil
}

// GrantRights adds rights (contract 7.8). Users who are not among admins and have
// rights on the same nodes are in the way (CONFLICTING_ELEMENTS); with overwrite
// they lose them. If the rights are there already it is NOTHING_MODIFIED.
func (s *Store) GrantRights(ctx context.Context, rights []Right, admins []string, overwrite bool) error {
	spared, err := json.Marshal(append([]string{}, admins...))
	if err != nil {
		return err
	}
	err = s.update(ctx, func(ctx context.Context, tx *sql.Tx) error {
		added := 0
		for _, r := range rights {
			if err := clearOthers(ctx, tx, r, string(spared), overwrite); err != nil {
				return err
			}
			n, err := addRight(ctx, tx, r)
			if err != nil {
				return err
			}
			added += n
		}
		if added == 0 {
			return apperr.New(apperr.NothingModified, "these rights were granted before")
		}
		return nil
	})
	return databaseError("grant rights", err)
}

func clearOthers(ctx context.Context, tx *sql.Tx, r Right, spared string, overwrite bool) error {
	const others = ` FROM rights WHERE node = ? AND user <> ? AND user NOT IN (SELECT value FROM json_each(?))`
	if overwrite {
		_, err := tx.ExecContext(ctx, `DELETE`+others, r.Node, r.User, spared)
		return err
	}
	var other sql.NullString
	if err := tx.QueryRowContext(ctx, `SELECT min(user)`+others, r.Node, r.User, spared).Scan(&other); err != nil {
		return err
	}
	if other.Valid {
		return apperr.New(apperr.ConflictingElements, "%s has rights on node %s: take them away first, or overwrite them", other.String, r.Node)
	}
	return nil
}

// addRight stores r if no right covers it, and drops those that it covers.
func addRight(ctx context.Context, tx *sql.Tx, r Right) (added int, err error) {
	result, err := tx.ExecContext(ctx, `INSERT INTO rights (user, node, part) SELECT ?1, ?2, ?3
		WHERE NOT EXISTS (SELECT 1 FROM rights WHERE user = ?1 AND node IN (?2, '*') AND part IN (?3, '*'))`, r.User, r.Node, r.Partition)
	if err != nil {
		return 0, err
	}
	if n, err := result.RowsAffected(); err != nil || n == 0 {
		return 0, err
	}
	_, err = tx.ExecContext(ctx, `DELETE FROM rights WHERE user = ?1 AND ?2 IN (node, '*') AND ?3 IN (part, '*')
		AND NOT (node = ?2 AND part = ?3)`, r.User, r.Node, r.Partition)
	return 1, err
}

// RevokeRights takes rights away. All as node or partition takes those on every
// one. A single node or partition cannot be taken out of a right on all
// (CONFLICTING_ELEMENTS). If there is nothing to take it is NOTHING_MODIFIED.
func (s *Store) RevokeRights(ctx context.Context, rights []Right) error {
	err := s.update(ctx, func(ctx context.Context, tx *sql.Tx) error {
		removed := int64(0)
		for _, r := range rights {
			if err := checkWildcards(ctx, tx, r); err != nil {
				return err
			}
			result, err := tx.ExecContext(ctx, `DELETE FROM rights WHERE user = ?1 AND ?2 IN (node, '*') AND ?3 IN (part, '*')`,
				r.User, r.Node, r.Partition)
			if err != nil {
				return err
			}
			n, err := result.RowsAffected()
			if err != nil {
				return err
			}
			removed += n
		}
		if removed == 0 {
			return apperr.New(apperr.NothingModified, "there are no such rights")
		}
		return nil
	})
	return databaseError("revoke rights", err)
}

// checkWildcards looks for a right that is wider than r and would have to be cut.
func checkWildcards(ctx context.Context, tx *sql.Tx, r Right) error {
	var wide int
	err := tx.QueryRowContext(ctx, `SELECT count(*) FROM rights WHERE user = ?1
		AND (node IN (?2, '*') OR ?2 = '*') AND (part IN (?3, '*') OR ?3 = '*')
		AND (node = '*' AND ?2 <> '*' OR part = '*' AND ?3 <> '*')`, r.User, r.Node, r.Partition).Scan(&wide)
	if err == nil && wide > 0 {
		err = apperr.New(apperr.ConflictingElements, "%s has a right on all nodes or partitions: take that away, and grant what he shall keep", r.User)
	}
	return err
}
