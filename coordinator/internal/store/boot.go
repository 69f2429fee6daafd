package store

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"

	"kadeploy/coordinator/internal/profile"
)

// tokenBytes is the size of an agent's one-time token.
const tokenBytes = 16

// SetBootProfile says what a node boots from now on, on behalf of a workflow.
func (s *Store) SetBootProfile(ctx context.Context, node, workflow string, p profile.Profile) error {
	text, err := json.Marshal(p)
	if err != nil {
		return fmt.Errorf("encode boot profile of %s: %w", node, err)
	}
	err = s.update(ctx, func(ctx context.Context, tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO boot_profiles (node, workflow, profile, since) VALUES (?, ?, ?, ?)
			ON CONFLICT (node) DO UPDATE SET workflow = excluded.workflow, profile = excluded.profile, since = excluded.since`,
			node, workflow, string(text), s.now().Unix())
		return err
	})
	if err != nil {
		return fmt.Errorf("set boot profile of %s: %w", node, err)
	}
	return nil
}

// BootProfile is what a node boots: its own disk, unless a workflow said otherwise.
func (s *Store) BootProfile(ctx context.Context, node string) (p profile.Profile, err error) {
	err = s.view(ctx, func(tx *sql.Tx) error {
		p, err = bootProfile(ctx, tx, node)
		return err
	})
	return p, err
}

func bootProfile(ctx context.Context, tx *sql.Tx, node string) (p profile.Profile, err error) {
	var text string
	err = tx.QueryRowContext(ctx, `SELECT profile FROM boot_profiles WHERE node = ?`, node).Scan(&text)
	if errors.Is(err, sql.ErrNoRows) {
		return profile.Profile{Kind: profile.Local}, nil
	}
	if err == nil {
		err = json.Unmarshal([]byte(text), &p)
	}
	if err != nil {
		return p, fmt.Errorf("read boot profile of %s: %w", node, err)
	}
	return p, nil
}

// Mint makes the one-time token of a node that is about to boot the mini-OS, and
// ends what its agent proved before. A node that boots anything else gets none.
func (s *Store) Mint(ctx context.Context, node string) (string, error) {
	token := make([]byte, tokenBytes)
	rand.Read(token) // never fails
	word := hex.EncodeToString(token)
	err := s.update(ctx, func(ctx context.Context, tx *sql.Tx) error {
		p, err := bootProfile(ctx, tx, node)
		if err != nil {
			return err
		}
		if p.Kind != profile.MiniOS {
			return errors.New("no workflow is waiting for its mini-OS")
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO agent_proofs (node, token, key, minted) VALUES (?, ?, '', ?)
			ON CONFLICT (node) DO UPDATE SET token = excluded.token, key = '', minted = excluded.minted`,
			node, digest(word), s.now().Unix())
		return err
	})
	if err != nil {
		return "", fmt.Errorf("make a token for %s: %w", node, err)
	}
	return word, nil
}

// Admit decides whether the agent that holds a key speaks for a node: the key is
// bound to the node already, or the token is unspent and becomes spent on it.
// The error says why not.
func (s *Store) Admit(ctx context.Context, node, token, key string) error {
	return s.update(ctx, func(ctx context.Context, tx *sql.Tx) error {
		var kept, bound string
		err := tx.QueryRowContext(ctx, `SELECT token, key FROM agent_proofs WHERE node = ?`, node).Scan(&kept, &bound)
		switch {
		case errors.Is(err, sql.ErrNoRows):
			return fmt.Errorf("no token was made for %s: boot it through the coordinator", node)
		case err != nil:
			return fmt.Errorf("look up the proof of %s: %w", node, err)
		case bound != "" && equal(bound, key):
			return nil
		case kept == "":
			return fmt.Errorf("the token of %s was used by another agent: reboot the node", node)
		case !equal(kept, digest(token)):
			return fmt.Errorf("wrong token for %s: reboot the node", node)
		}
		if _, err := tx.ExecContext(ctx, `UPDATE agent_proofs SET token = '', key = ? WHERE node = ?`, key, node); err != nil {
			return fmt.Errorf("bind the key of %s: %w", node, err)
		}
		return nil
	})
}

func digest(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}

func equal(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }
