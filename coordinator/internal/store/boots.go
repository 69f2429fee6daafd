package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// LeftBoot is what is known of the boot that a node was told to leave last.
type LeftBoot struct {
	Task  string    // that told it; empty: it was never told
	Boot  string    // empty: no agent was there
	Asked time.Time // when it was given a token for the mini-OS since; zero: it was not
}

// LeaveBoots notes in which boot each node is, by its agent, before a task tells it
// to leave it.
func (s *Store) LeaveBoots(ctx context.Context, task string, boots map[string]string) error {
	now := s.now().Unix()
	err := s.update(ctx, func(ctx context.Context, tx *sql.Tx) error {
		for node, boot := range boots {
			_, err := tx.ExecContext(ctx, `INSERT INTO boots (node, task, boot, since) VALUES (?, ?, ?, ?)
				ON CONFLICT (node) DO UPDATE SET task = excluded.task, boot = excluded.boot, since = excluded.since`, node, task, boot, now)
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("note the boots of nodes: %w", err)
	}
	return nil
}

// LeftBoot tells which boot a node was told to leave last.
func (s *Store) LeftBoot(ctx context.Context, node string) (left LeftBoot, err error) {
	err = s.view(ctx, func(tx *sql.Tx) error {
		var since, minted int64
		err := tx.QueryRowContext(ctx, `SELECT task, boot, since, coalesce((SELECT minted FROM agent_proofs p WHERE p.node = boots.node), 0)
			FROM boots WHERE node = ?`, node).Scan(&left.Task, &left.Boot, &since, &minted)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		if minted > since { // in the same second: it may have been before
			left.Asked = time.Unix(minted, 0)
		}
		return err
	})
	if err != nil {
		return LeftBoot{}, fmt.Errorf("look up the last boot of %s: %w", node, err)
	}
	return left, nil
}
