package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"kadeploy/coordinator/internal/apperr"
	"kadeploy/coordinator/internal/env"
)

// Environment is a registered environment.
type Environment struct {
	ID      int64
	Owner   string
	Created time.Time
	env.Description
}

// Viewer is on whose behalf the registry is read or changed.
type Viewer struct {
	User  string
	Admin bool
}

// EnvironmentQuery selects environments; what the viewer may not see is never among them (contract 3).
type EnvironmentQuery struct {
	Owner   string // "": the viewer's own, and others' public ones
	Name    string // or alias, unless something visible has this name; "%" stands for anything if Pattern is set; "": any
	Pattern bool
	Version int    // 0: all
	Arch    string // "": any
	Last    bool   // only the highest version of each owner, name and architecture
}

// Environments lists what the viewer may see: public, then private, then shared
// ones, by name, the newest version first.
func (s *Store) Environments(ctx context.Context, v Viewer, q EnvironmentQuery) (list []Environment, err error) {
	where, args := conditions(v, q)
	err = s.view(ctx, func(tx *sql.Tx) error {
		list, err = selectEnvironments(ctx, tx, where, args)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list environments: %w", err)
	}
	if q.Last {
		list = lastVersions(list)
	}
	return list, nil
}

// conditions are the visibility table of contract 3, and the query.
func conditions(v Viewer, q EnvironmentQuery) (where string, args []any) {
	var all []string
	add := func(condition string, values ...any) {
		all = append(all, condition)
		args = append(args, values...)
	}
	switch {
	case q.Owner != "" && !v.Admin && q.Owner != v.User:
		add("user = ? AND visibility IN ('public', 'shared')", q.Owner)
	case q.Owner != "":
		add("user = ?", q.Owner)
	case !v.Admin:
		add("(user = ? OR visibility = 'public')", v.User)
	}
	switch {
	case q.Name == "":
	case q.Pattern:
		glob := globOf(q.Name)
		add("(name GLOB ? OR alias GLOB ?)", glob, glob)
	default:
		// An alias never hides a name. The index of aliases has no empty ones.
		named, of := strings.Join(append(all, "name = ?"), " AND "), append(slices.Clone(args), q.Name)
		add("(name = ? OR alias = ? AND alias <> '' AND NOT EXISTS (SELECT 1 FROM environments WHERE "+named+"))",
			append([]any{q.Name, q.Name}, of...)...)
	}
	if q.Version != 0 {
		add("version = ?", q.Version)
	}
	if q.Arch != "" {
		add("arch IN (?, '')", q.Arch)
	}
	if len(all) == 0 {
		return "1", nil
	}
	return strings.Join(all, " AND "), args
}

// globOf makes % the only character that is not itself.
func globOf(pattern string) string {
	return strings.NewReplacer("%", "*", "*", "[*]", "?", "[?]", "[", "[[]").Replace(pattern)
}

// lastVersions keeps the first, which is the newest, of each owner, name and architecture.
func lastVersions(list []Environment) []Environment {
	type key struct{ owner, name, arch string }
	newest := make(map[key]int)
	for _, e := range list {
		k := key{e.Owner, e.Name, e.Arch}
		newest[k] = max(newest[k], e.Version)
	}
	kept := list[:0]
	for _, e := range list {
		if newest[key{e.Owner, e.Name, e.Arch}] == e.Version {
			kept = append(kept, e)
		}
	}
	return kept
}

// AddEnvironment registers a description. The same owner, name, version and
// architecture twice is an error with code 10, whoever comes second.
func (s *Store) AddEnvironment(ctx context.Context, owner string, d env.Description) (Environment, error) {
	e := Environment{Owner: owner, Created: s.now().Truncate(time.Second), Description: d}
	err := s.update(ctx, func(ctx context.Context, tx *sql.Tx) error {
		var taken bool
		err := tx.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM environments WHERE user = ? AND name = ? AND version = ? AND arch = ?)`,
			owner, d.Name, d.Version, d.Arch).Scan(&taken)
		if err != nil {
			return err
		}
		if taken {
			return apperr.New(apperr.ExistingElement, "user %s already has an environment %s version %d; give it another version, or delete the old one", owner, d.Name, d.Version)
		}
		e.ID, err = insertEnvironment(ctx, tx, e)
		return err
	})
	return e, databaseError("register the environment "+d.Name, err)
}

// updateAttempts bounds how often a change is made again because somebody else
// changed the environment meanwhile.
const updateAttempts = 5

// UpdateEnvironment lets change edit one description. Nothing is stored if change
// returns an error or makes the description invalid. change may take long (it may
// hash files): the database is not locked meanwhile, and change is called again
// on the new description if somebody else was faster.
func (s *Store) UpdateEnvironment(ctx context.Context, id int64, change func(owner string, d *env.Description) error) (Environment, error) {
	for range updateAttempts {
		before, err := s.environment(ctx, id)
		if err != nil {
			return Environment{}, databaseError("change the environment", err)
		}
		after := before
		after.Description = before.Clone()
		if err := change(before.Owner, &after.Description); err != nil {
			return Environment{}, err
		}
		if err := after.Validate(); err != nil {
			return Environment{}, err
		}
		replaced, err := s.replaceEnvironment(ctx, before, after)
		if err != nil {
			return Environment{}, databaseError("change the environment "+before.Name, err)
		}
		if replaced {
			return after, nil
		}
	}
	return Environment{}, apperr.New(apperr.ConflictingElements, "the environment is being changed by others all the time; try again")
}

func (s *Store) environment(ctx context.Context, id int64) (e Environment, err error) {
	err = s.view(ctx, func(tx *sql.Tx) error {
		e, err = environmentByID(ctx, tx, id)
		return err
	})
	return e, err
}

func environmentByID(ctx context.Context, tx *sql.Tx, id int64) (Environment, error) {
	list, err := selectEnvironments(ctx, tx, "id = ?", []any{id})
	if err == nil && len(list) == 0 {
		err = apperr.NotFound("the environment was deleted meanwhile")
	}
	if err != nil {
		return Environment{}, err
	}
	return list[0], nil
}

// replaceEnvironment stores after in the place of before, unless that was changed meanwhile.
func (s *Store) replaceEnvironment(ctx context.Context, before, after Environment) (replaced bool, err error) {
	err = s.update(ctx, func(ctx context.Context, tx *sql.Tx) error {
		now, err := environmentByID(ctx, tx, before.ID)
		if err != nil {
			return err
		}
		if replaced = reflect.DeepEqual(now, before); !replaced {
			return nil
		}
		return rewriteEnvironment(ctx, tx, after)
	})
	return replaced, err
}

// RemoveEnvironments deletes environments, all or none; permit may refuse by owner.
func (s *Store) RemoveEnvironments(ctx context.Context, ids []int64, permit func(owner string) error) error {
	err := s.update(ctx, func(ctx context.Context, tx *sql.Tx) error {
		for _, id := range ids {
			var owner string
			err := tx.QueryRowContext(ctx, `SELECT user FROM environments WHERE id = ?`, id).Scan(&owner)
			if errors.Is(err, sql.ErrNoRows) {
				continue // somebody else was faster
			}
			if err != nil {
				return err
			}
			if err := permit(owner); err != nil {
				return err
			}
			if _, err := tx.ExecContext(ctx, `DELETE FROM environments WHERE id = ?`, id); err != nil {
				return err
			}
		}
		return nil
	})
	return databaseError("delete environments", err)
}

// databaseError says what was done; refusals and application errors keep their codes.
func databaseError(what string, err error) error {
	if err == nil {
		return nil
	}
	if _, coded := apperr.Of(err); coded || apperr.StatusOf(err) != 0 {
		return err
	}
	return fmt.Errorf("%s: %w", what, err)
}
