package store

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
)

// open opens a new database in a directory whose name needs escaping.
func open(t *testing.T) *Store {
	t.Helper()
	return openAt(t, filepath.Join(t.TempDir(), "db ?#%20.sqlite"))
}

func openAt(t *testing.T, path string) *Store {
	t.Helper()
	s, err := Open(t.Context(), path)
	if err != nil {
		t.Fatalf("Open(%s): %v", path, err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return s
}

func TestOpenTwice(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new", "db")
	first, err := Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	if second, err := Open(t.Context(), path); err == nil {
		second.Close()
		t.Fatal("a second Open of an open database succeeded")
	} else if !strings.Contains(err.Error(), "already in use by process") {
		t.Errorf("second Open: %v, want it to say who uses the database", err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	openAt(t, path) // after Close it is free, and its schema is found complete
	for _, file := range []string{path, path + "-wal"} {
		if info, err := os.Stat(file); err != nil {
			t.Error(err)
		} else if info.Mode().Perm() != 0o600 {
			t.Errorf("%s can be read by others: %v", file, info.Mode())
		}
	}
}

func TestOpenNotADatabase(t *testing.T) {
	if _, err := Open(t.Context(), t.TempDir()); err == nil {
		t.Error("Open of a directory succeeded")
	}
}

func TestPragmas(t *testing.T) {
	s := open(t)
	for pragma, want := range map[string]string{"journal_mode": "wal", "foreign_keys": "1", "synchronous": "2", "busy_timeout": "10000"} {
		var got string
		if err := s.writer.QueryRow("PRAGMA " + pragma).Scan(&got); err != nil || got != want {
			t.Errorf("PRAGMA %s = %q, %v, want %q", pragma, got, err, want)
		}
	}
}

func TestReaderCannotWrite(t *testing.T) {
	s := open(t)
	err := s.view(t.Context(), func(tx *sql.Tx) error {
		_, err := tx.Exec("INSERT INTO rights VALUES ('a', 'b', 'c')")
		return err
	})
	if err == nil {
		t.Error("view allowed an INSERT")
	}
}

func TestUpdateRollsBack(t *testing.T) {
	s := open(t)
	boom := errors.New("boom")
	err := s.update(t.Context(), func(_ context.Context, tx *sql.Tx) error {
		if _, err := tx.Exec("INSERT INTO rights VALUES ('a', 'b', 'c')"); err != nil {
			t.Error(err)
		}
		return boom
	})
	if !errors.Is(err, boom) {
		t.Errorf("update = %v, want %v", err, boom)
	}
	if n := count(t, s, "rights"); n != 0 {
		t.Errorf("%d rows are left of a transaction that failed", n)
	}
}

func count(t *testing.T, s *Store, table string) (n int) {
	t.Helper()
	err := s.view(t.Context(), func(tx *sql.Tx) error { return tx.QueryRow("SELECT count(*) FROM " + table).Scan(&n) })
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestNewerSchemaIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	s, err := Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.writer.Exec("INSERT INTO migrations VALUES (999, 'future', 0)"); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if s, err := Open(t.Context(), path); err == nil {
		s.Close()
		t.Error("Open accepted a schema of the future")
	} else if !strings.Contains(err.Error(), "999_future") {
		t.Errorf("Open: %v, want it to name the step 999_future", err)
	}
}

func TestFailedMigrationLeavesNothing(t *testing.T) {
	s := open(t)
	bad := migration{900, "bad", "CREATE TABLE half (x); CREATE TABLE half (x);"}
	if err := s.apply(t.Context(), bad); err == nil {
		t.Fatal("a migration that fails was applied")
	}
	applied, err := s.applied(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := applied[900]; ok {
		t.Error("a migration that failed is noted as applied")
	}
	if _, err := s.writer.Exec("SELECT * FROM half"); err == nil {
		t.Error("the first half of a migration that failed is left")
	}
}

func TestMigrationNames(t *testing.T) {
	for _, names := range [][]string{{"1_x.sql"}, {"001.sql"}, {"abc_x.sql"}, {"001_a.sql", "001_b.sql"}} {
		files := fstest.MapFS{}
		for _, name := range names {
			files["migrations/"+name] = &fstest.MapFile{}
		}
		if _, err := migrations(files); err == nil {
			t.Errorf("migrations(%v) succeeded, want an error", names)
		}
	}
}

func TestCancelledContext(t *testing.T) {
	s := open(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.update(ctx, func(context.Context, *sql.Tx) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("update = %v, want %v", err, context.Canceled)
	}
}
