package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Backup writes a copy of a database to a new file. The copy is of one moment, also
// while a coordinator writes, and holds nobody up. The file appears when it is whole
// and on the disk; one that exists is never written over.
func Backup(ctx context.Context, path, file string) error {
	if err := backUp(ctx, path, file); err != nil {
		return fmt.Errorf("back up database %s to %s: %w", path, file, err)
	}
	return nil
}

func backUp(ctx context.Context, path, file string) (err error) {
	if info, err := os.Stat(path); err != nil {
		return err
	} else if !info.Mode().IsRegular() {
		return errors.New("it is not a file")
	}
	if _, err := os.Lstat(file); err == nil {
		return fmt.Errorf("it exists; give the name of a new file: %w", fs.ErrExist)
	}
	// SQLite writes into an empty file, which nobody else can read.
	part, err := os.CreateTemp(filepath.Dir(file), "."+filepath.Base(file)+".part-")
	if err != nil {
		return err
	}
	defer func() {
		err = errors.Join(err, part.Close(), os.Remove(part.Name()))
	}()
	db, err := connection(path, 1, "deferred")
	if err != nil {
		return err
	}
	_, err = db.ExecContext(ctx, "VACUUM INTO ?", part.Name())
	if err := errors.Join(err, db.Close()); err != nil {
		return err
	}
	if err := part.Sync(); err != nil {
		return err
	}
	if err := os.Link(part.Name(), file); err != nil { // unlike a rename, it overwrites nothing
		return err
	}
	return syncDirectory(filepath.Dir(file))
}

func syncDirectory(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Backup is the function Backup for this database.
func (s *Store) Backup(ctx context.Context, file string) error { return Backup(ctx, s.path, file) }
