package store

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"strings"
	"time"

	"kadeploy/coordinator/internal/env"
)

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
