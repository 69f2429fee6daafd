package store

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
)

//go:embed migrations/*.sql
var migrationFiles embed.FS

// migration is one step of the schema's history: a file migrations/NNN_name.sql.
// A released one is never edited; the schema changes by adding another.
type migration struct {
	number int
	name   string
	script string
}

// migrate applies, in order, the migrations that the database has not seen,
// each in a transaction together with the note that it was applied.
func (s *Store) migrate(ctx context.Context) error {
	known, err := migrations(migrationFiles)
	if err != nil {
		return err
	}
	err = s.update(ctx, func(ctx context.Context, tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `CREATE TABLE IF NOT EXISTS migrations (
			number  INTEGER PRIMARY KEY,
			name    TEXT NOT NULL,
			applied INTEGER NOT NULL -- seconds since 1970
		) STRICT`)
		return err
	})
	if err != nil {
		return fmt.Errorf("read schema version: %w", err)
	}
	applied, err := s.applied(ctx)
	if err != nil {
		return fmt.Errorf("read schema version: %w", err)
	}
	for number, name := range applied {
		if !slices.ContainsFunc(known, func(m migration) bool { return m.number == number }) {
			return fmt.Errorf("schema has step %03d_%s, which this program does not know: it was written by a newer version, run that one", number, name)
		}
	}
	for _, m := range known {
		if _, done := applied[m.number]; done {
			continue
		}
		if err := s.apply(ctx, m); err != nil {
			return fmt.Errorf("migrate schema to %03d_%s: %w", m.number, m.name, err)
		}
	}
	return nil
}

func (s *Store) apply(ctx context.Context, m migration) error {
	return s.update(ctx, func(ctx context.Context, tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, m.script); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, "INSERT INTO migrations (number, name, applied) VALUES (?, ?, ?)", m.number, m.name, s.now().Unix())
		return err
	})
}

func (s *Store) applied(ctx context.Context) (map[int]string, error) {
	rows, err := s.writer.QueryContext(ctx, "SELECT number, name FROM migrations")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	applied := make(map[int]string)
	for rows.Next() {
		var number int
		var name string
		if err := rows.Scan(&number, &name); err != nil {
			return nil, err
		}
		applied[number] = name
	}
	return applied, rows.Err()
}

// migrations lists the files in order of their numbers.
func migrations(files fs.FS) ([]migration, error) {
	names, err := fs.Glob(files, "migrations/*.sql") // sorted by name, that is, by number
	if err != nil {
		return nil, err
	}
	var all []migration
	for _, file := range names {
		digits, name, ok := strings.Cut(strings.TrimSuffix(path.Base(file), ".sql"), "_")
		number, err := strconv.Atoi(digits)
		if !ok || err != nil || len(digits) != 3 {
			return nil, fmt.Errorf("migration %s: its name must be NNN_name.sql", file)
		}
		if n := len(all); n > 0 && all[n-1].number == number {
			return nil, fmt.Errorf("migration %s: number %d is already taken by %s", file, number, all[n-1].name)
		}
		script, err := fs.ReadFile(files, file)
		if err != nil {
			return nil, err
		}
		all = append(all, migration{number, name, string(script)})
	}
	return all, nil
}
