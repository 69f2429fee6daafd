// Package store owns the coordinator's database: environments, rights, node
// states, the journal of workflows, the log of finished ones. It is one SQLite
// file. It decides nothing about deployments; it keeps what others decided.
//
// All writing goes through update, which has the only writing connection, so
// that no transaction ever fails because of another one of this process; changes
// that come at the same time share a transaction, and so its flush to the disk.
// Reading goes through view, on a pool of read-only connections; in WAL mode
// readers and the writer do not wait for each other.
package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"time"

	_ "modernc.org/sqlite" // registers the driver "sqlite"
)

// busyTimeout is how long a statement waits for a lock that another program
// (a backup, an administrator's sqlite3) holds.
const busyTimeout = 10 * time.Second

// readers is how many transactions can read at the same time.
const readers = 4

// Store is an open database.
type Store struct {
	path   string
	writer *sql.DB // exactly one connection
	reader *sql.DB
	lock   *os.File
	now    func() time.Time

	commits commits
}

// Open opens the database file at path, creates it (and its directory) if needed
// and brings its schema up to date. It fails if another process has it open.
func Open(ctx context.Context, path string) (*Store, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("open database: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("open database %s: create its directory: %w", path, err)
	}
	lock, err := acquire(path + ".lock")
	if err != nil {
		return nil, fmt.Errorf("open database %s: %w", path, err)
	}
	s := &Store{path: path, lock: lock, now: time.Now}
	if err := s.connect(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("open database %s: %w", path, err), s.Close())
	}
	return s, nil
}

func (s *Store) connect(ctx context.Context) (err error) {
	// SQLite would let everybody read it, and others' private environments with it.
	f, err := os.OpenFile(s.path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	// synchronous(FULL): what was acknowledged survives a loss of power, not
	// only a kill; the journal of workflows relies on it.
	s.writer, err = connection(s.path, 1, "immediate", "journal_mode(WAL)", "synchronous(FULL)", "foreign_keys(1)")
	if err != nil {
		return err
	}
	if err := s.writer.PingContext(ctx); err != nil {
		return fmt.Errorf("%w (is it a SQLite database, and is its directory writable?)", err)
	}
	if err := s.migrate(ctx); err != nil {
		return err
	}
	s.reader, err = connection(s.path, readers, "deferred", "query_only(1)")
	return err
}

func connection(path string, conns int, txlock string, pragmas ...string) (*sql.DB, error) {
	// busy_timeout comes first: the following pragmas may already meet a lock.
	q := url.Values{
		"_pragma": append([]string{fmt.Sprintf("busy_timeout(%d)", busyTimeout.Milliseconds())}, pragmas...),
		"_txlock": {txlock},
	}
	u := url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath(), RawQuery: q.Encode()}
	db, err := sql.Open("sqlite", u.String())
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(conns)
	db.SetMaxIdleConns(conns)
	return db, nil
}

// Close ends all use of the database and lets another process open it.
func (s *Store) Close() error {
	var errs []error
	for _, db := range []*sql.DB{s.reader, s.writer} {
		if db != nil {
			errs = append(errs, db.Close())
		}
	}
	// Last, so that nobody opens the database while this process still writes.
	errs = append(errs, s.lock.Close())
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("close database %s: %w", s.path, err)
	}
	return nil
}

// view runs fn in a read-only transaction: all that it reads is of one moment.
func (s *Store) view(ctx context.Context, fn func(tx *sql.Tx) error) error {
	return transaction(ctx, s.reader, fn)
}

func transaction(ctx context.Context, db *sql.DB, fn func(tx *sql.Tx) error) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("begin transaction: %w", err)
	}
	defer tx.Rollback() // does nothing after Commit
	if err := fn(tx); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("commit transaction: %w", err)
	}
	return nil
}
