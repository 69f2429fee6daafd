// Package userfile owns the directory of files that users upload with boot
// profiles of their own: their names there, and how much room they take. It never
// serves them: the boot service does, or the site's boot server.
package userfile

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"kadeploy/coordinator/internal/apperr"
)

// Prefix begins the names of a user's files; "--" and what he calls the file follow.
func Prefix(user string) string { return "pxe-" + user }

// name is what a user's file is called in the directory.
func name(user, file string) (string, error) {
	if strings.Contains(user, "--") || strings.ContainsAny(user, "/\x00") || user == "" {
		return "", apperr.New(apperr.InvalidFile, "files of a user called %q cannot be told from others' in the directory of boot files", user)
	}
	full := Prefix(user) + "--" + file
	if file == "" || strings.ContainsAny(file, "/\x00") || len(full) > 255 {
		return "", apperr.New(apperr.InvalidFile, "%q cannot be the name of a boot file; rename it", file)
	}
	return full, nil
}

// ours tells whether a file of the directory is one of users': the directory may
// be that of the whole repository.
func ours(file string) bool { return strings.HasPrefix(file, "pxe-") && strings.Contains(file, "--") }

const temporary = ".pxe-upload-"

// Shelf is the directory. Files stay after the operation that brought them, as
// its nodes may boot again, until their room is needed.
type Shelf struct {
	dir     string
	size    int64
	writers chan struct{}

	mu       sync.Mutex
	coming   int64               // bytes for which room was made
	contents map[string]string   // by name: what is there while an operation needs it
	holders  map[string][]string // by name: operations
}

// New opens the directory for at most size bytes of users' files, of which as
// many are written at once as writers says.
func New(dir string, size int64, writers int) (*Shelf, error) {
	left, err := filepath.Glob(filepath.Join(dir, temporary+"*"))
	if err == nil {
		_, err = os.ReadDir(dir)
	}
	for _, file := range left {
		err = errors.Join(err, os.Remove(file))
	}
	if err != nil {
		return nil, fmt.Errorf("directory of users' boot files: %w", err)
	}
	return &Shelf{
		dir: dir, size: size, writers: make(chan struct{}, max(writers, 1)),
		contents: make(map[string]string), holders: make(map[string][]string),
	}, nil
}

// Size is how much there can be of all files together, in bytes.
func (s *Shelf) Size() int64 { return s.size }

// Keep puts a copy of the file at path onto the shelf, where the operation finds
// it at least until Release. content identifies what is in the file. Errors have codes.
func (s *Shelf) Keep(ctx context.Context, operation, user, file, path, content string) error {
	full, err := name(user, file)
	if err != nil {
		return err
	}
	select {
	case s.writers <- struct{}{}:
		defer func() { <-s.writers }()
	case <-ctx.Done():
		return ctx.Err()
	}
	in, err := os.Open(path)
	if err != nil {
		return apperr.New(apperr.CacheError, "boot file %s: %w", file, err)
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return apperr.New(apperr.CacheError, "boot file %s: %w", file, err)
	}
	if err := s.reserve(operation, full, file, content, info.Size()); err != nil {
		return err
	}
	err = s.write(full, in)
	s.mu.Lock()
	s.coming -= info.Size()
	s.mu.Unlock()
	if err != nil {
		return apperr.New(apperr.CacheError, "boot file %s: %w", file, err)
	}
	return nil
}

// reserve makes room for a file, and holds it for the operation.
func (s *Shelf) reserve(operation, full, file, content string, size int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if was, held := s.contents[full]; held && was != content {
		return apperr.New(apperr.ConflictingElements, "another operation of yours boots nodes with another file called %s; rename yours, or wait for the end of %s", file, strings.Join(s.holders[full], ", "))
	}
	if err := s.makeRoom(full, file, size); err != nil {
		return err
	}
	s.coming += size
	s.contents[full] = content
	if !slices.Contains(s.holders[full], operation) {
		s.holders[full] = append(s.holders[full], operation)
	}
	return nil
}

// makeRoom removes the oldest files that nobody needs until size bytes more fit.
func (s *Shelf) makeRoom(full, file string, size int64) error {
	if size > s.size {
		return apperr.New(apperr.CacheError, "boot file %s has %d bytes, and this server keeps %d of all such files", file, size, s.size)
	}
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return apperr.New(apperr.CacheError, "boot files: %w", err)
	}
	type kept struct {
		name string
		size int64
		at   time.Time
	}
	var idle []kept
	used := s.coming
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || !info.Mode().IsRegular() || !ours(e.Name()) || e.Name() == full {
			continue // gone meanwhile, not a user's, or replaced
		}
		used += info.Size()
		if len(s.holders[e.Name()]) == 0 {
			idle = append(idle, kept{e.Name(), info.Size(), info.ModTime()})
		}
	}
	slices.SortFunc(idle, func(a, b kept) int { return cmp.Or(a.at.Compare(b.at), strings.Compare(a.name, b.name)) })
	for _, old := range idle {
		if used+size <= s.size {
			break
		}
		if err := os.Remove(filepath.Join(s.dir, old.name)); err != nil {
			return apperr.New(apperr.CacheError, "boot files: make room: %w", err)
		}
		used -= old.size
	}
	if used+size > s.size {
		return apperr.New(apperr.CacheFull, "there is no room for the boot file %s while other operations run; try again when they are over", file)
	}
	return nil
}

// write replaces a file: who reads it meanwhile has the old one or the new one, whole.
func (s *Shelf) write(full string, in io.Reader) (err error) {
	out, err := os.CreateTemp(s.dir, temporary+"*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(out.Name()))
		}
	}()
	_, err = io.Copy(out, in)
	// Boot servers run as users of their own.
	if err = errors.Join(err, out.Chmod(0o644), out.Sync(), out.Close()); err != nil {
		return err
	}
	return os.Rename(out.Name(), filepath.Join(s.dir, full))
}

// Release tells that an operation is over.
func (s *Shelf) Release(operation string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for file, all := range s.holders {
		all = slices.DeleteFunc(all, func(h string) bool { return h == operation })
		if s.holders[file] = all; len(all) == 0 {
			delete(s.holders, file)
			delete(s.contents, file)
		}
	}
}
