package store

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// acquire takes the exclusive lock on file and writes this process's number in
// it. The kernel drops the lock when the process ends, however it ends.
// It is a file of its own because SQLite itself uses locks on the database.
func acquire(file string) (*os.File, error) {
	f, err := os.OpenFile(file, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("create lock: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		defer f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("already in use by process %s (lock %s): stop that one first", holder(f), file)
		}
		return nil, fmt.Errorf("lock %s: %w", file, err)
	}
	if err := writeHolder(f); err != nil {
		return nil, errors.Join(fmt.Errorf("write lock %s: %w", file, err), f.Close())
	}
	return f, nil
}

func writeHolder(f *os.File) error {
	if err := f.Truncate(0); err != nil {
		return err
	}
	_, err := f.WriteAt(fmt.Appendf(nil, "%d\n", os.Getpid()), 0)
	return err
}

func holder(f *os.File) string {
	pid := make([]byte, 20)
	n, _ := f.ReadAt(pid, 0)
	if id := strings.TrimSpace(string(pid[:n])); id != "" {
		return id
	}
	return "of unknown number"
}
