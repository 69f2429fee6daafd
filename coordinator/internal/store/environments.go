package store

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
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
	Name    string // or alias; "%" stands for anything if Pattern is set; "": any
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
		add("(name = ? OR alias = ?)", q.Name, q.Name)
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
	err := s.update(ctx, func(tx *sql.Tx) error {
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
	err = s.update(ctx, func(tx *sql.Tx) error {
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
	err := s.update(ctx, func(tx *sql.Tx) error {
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

const environmentColumns = `user, name, version, arch, alias, description, author, visibility, destructive, os,
	image_file, image_kind, image_compression, image_checksum, boot, filesystem, partition_type, multipart,
	options, custom_variables, created`

// environmentValues are in the order of environmentColumns.
func environmentValues(e Environment) ([]any, error) {
	var parts [3]string
	for i, v := range []any{e.Boot, e.Options, e.CustomVariables} {
		text, err := json.Marshal(v)
		if err != nil {
			return nil, err
		}
		parts[i] = string(text)
	}
	return []any{e.Owner, e.Name, e.Version, e.Arch, e.Alias, e.Description.Description, e.Author, e.Visibility, e.Destructive, e.OS,
		e.Image.File, e.Image.Kind, e.Image.Compression, e.Image.Checksum, parts[0], e.Filesystem, e.PartitionType, e.Multipart,
		parts[1], parts[2], e.Created.Unix()}, nil
}

func insertEnvironment(ctx context.Context, tx *sql.Tx, e Environment) (int64, error) {
	values, err := environmentValues(e)
	if err != nil {
		return 0, err
	}
	marks := strings.TrimSuffix(strings.Repeat("?, ", len(values)), ", ")
	result, err := tx.ExecContext(ctx, `INSERT INTO environments (`+environmentColumns+`) VALUES (`+marks+`)`, values...)
	if err != nil {
		return 0, err
	}
	id, err := result.LastInsertId()
	if err != nil {
		return 0, err
	}
	return id, insertArchives(ctx, tx, id, e.Description)
}

func rewriteEnvironment(ctx context.Context, tx *sql.Tx, e Environment) error {
	values, err := environmentValues(e)
	if err != nil {
		return err
	}
	marks := strings.TrimSuffix(strings.Repeat("?, ", len(values)), ", ")
	_, err = tx.ExecContext(ctx, `UPDATE environments SET (`+environmentColumns+`) = (`+marks+`) WHERE id = ?`, append(values, e.ID)...)
	if err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, `DELETE FROM archives WHERE environment = ?`, e.ID); err != nil {
		return err
	}
	return insertArchives(ctx, tx, e.ID, e.Description)
}

func insertArchives(ctx context.Context, tx *sql.Tx, id int64, d env.Description) error {
	insert := func(stage string, position int, a env.Archive) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO archives (environment, stage, position, archive, compression, script, checksum)
			VALUES (?, ?, ?, ?, ?, ?, ?)`, id, stage, position, a.Archive, a.Compression, a.Script, a.Checksum)
		return err
	}
	if d.Preinstall != nil {
		if err := insert("preinstall", 0, *d.Preinstall); err != nil {
			return err
		}
	}
	for i, a := range d.Postinstalls {
		if err := insert("postinstall", i, a); err != nil {
			return err
		}
	}
	return nil
}

// selectEnvironments reads whole descriptions, in the registry's order.
func selectEnvironments(ctx context.Context, tx *sql.Tx, where string, args []any) ([]Environment, error) {
	rows, err := tx.QueryContext(ctx, `SELECT id, `+environmentColumns+` FROM environments WHERE `+where+`
		ORDER BY CASE visibility WHEN 'public' THEN 0 WHEN 'private' THEN 1 ELSE 2 END, name, user, version DESC, arch`, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []Environment
	byID := make(map[int64]int)
	for rows.Next() {
		e, err := scanEnvironment(rows)
		if err != nil {
			return nil, err
		}
		byID[e.ID] = len(list)
		list = append(list, e)
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	return list, addArchives(ctx, tx, where, args, list, byID)
}

func scanEnvironment(rows *sql.Rows) (e Environment, err error) {
	var boot, options, variables string
	var created int64
	err = rows.Scan(&e.ID, &e.Owner, &e.Name, &e.Version, &e.Arch, &e.Alias, &e.Description.Description, &e.Author, &e.Visibility,
		&e.Destructive, &e.OS, &e.Image.File, &e.Image.Kind, &e.Image.Compression, &e.Image.Checksum, &boot, &e.Filesystem,
		&e.PartitionType, &e.Multipart, &options, &variables, &created)
	if err != nil {
		return e, err
	}
	e.Created = time.Unix(created, 0)
	return e, cmp.Or(
		json.Unmarshal([]byte(boot), &e.Boot),
		json.Unmarshal([]byte(options), &e.Options),
		json.Unmarshal([]byte(variables), &e.CustomVariables))
}

func addArchives(ctx context.Context, tx *sql.Tx, where string, args []any, list []Environment, byID map[int64]int) error {
	rows, err := tx.QueryContext(ctx, `SELECT environment, stage, archive, compression, script, checksum FROM archives
		WHERE environment IN (SELECT id FROM environments WHERE `+where+`) ORDER BY environment, stage, position`, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var id int64
		var stage string
		var a env.Archive
		if err := rows.Scan(&id, &stage, &a.Archive, &a.Compression, &a.Script, &a.Checksum); err != nil {
			return err
		}
		e := &list[byID[id]]
		if stage == "preinstall" {
			e.Preinstall = &a
		} else {
			e.Postinstalls = append(e.Postinstalls, a)
		}
	}
	return rows.Err()
}
