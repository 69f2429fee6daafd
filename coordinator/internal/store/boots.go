package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// LeaveBoots notes in which boot each node is, by its agent, before it is told to
// leave it; empty if it has no agent.
func (s *Store) LeaveBoots(ctx context.Context, boots map[string]string) error {
	now := s.now().Unix()
	err := s.update(ctx, func(ctx context.Context, tx *sql.Tx) error {
		for node, boot := range boots {
			_, err := tx.ExecContext(ctx, `INSERT INTO boots (node, boot, since) VALUES (?, ?, ?)
				ON CONFLICT (node) DO UPDATE SET boot = excluded.boot, since = excluded.since`, node, boot, now)
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

// LeftBoot is the boot that a node was told to leave last, and since when it asks
// for another one: the moment at which it was given a token for the mini-OS, zero
// if it was given none since. ok is false if it was never told.
func (s *Store) LeftBoot(ctx context.Context, node string) (boot string, asked time.Time, ok bool, err error) {
	err = s.view(ctx, func(tx *sql.Tx) error {
		var since, minted int64
		err := tx.QueryRowContext(ctx, `SELECT boot, since, coalesce((SELECT minted FROM agent_proofs p WHERE p.node = boots.node), 0)
			FROM boots WHERE node = ?`, node).Scan(&boot, &since, &minted)
		switch {
		case errors.Is(err, sql.ErrNoRows):
			return nil
		case err != nil:
			return err
		}
		ok = true
		if minted > since { // in the same second: it may have been before
			asked = time.Unix(minted, 0)
		}
		return nil
	})
	if err != nil {
		return "", time.Time{}, false, fmt.Errorf("look up the last boot of %s: %w", node, err)
	}
	return boot, asked, ok, nil
}
