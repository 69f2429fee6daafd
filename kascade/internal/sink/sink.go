// Package sink holds the places where the stand-alone tool puts what a node receives: a
// file, a device, the standard output, or a command's standard input. Each is a
// kascade.Sink. It knows nothing of chains.
package sink

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
)

// File is a regular file that has its name only once it is complete.
type File struct {
	f    *os.File
	path string
}

// NewFile makes a sink of path. What exists there and is no regular file, such as a
// device or a pipe, is written in place.
func NewFile(path string) (*File, error) {
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		return &File{f: f}, err
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".kascade-*")
	if err != nil {
		return nil, err
	}
	if err := f.Chmod(0o644); err != nil {
		return nil, err
	}
	return &File{f: f, path: path}, nil
}

func (s *File) Write(b []byte) (int, error) { return s.f.Write(b) }

// Commit makes the file durable, and then gives it its name.
func (s *File) Commit(context.Context) error {
	err := s.f.Sync()
	if errors.Is(err, syscall.EINVAL) { // a pipe, a terminal, /dev/null: nothing to sync
		err = nil
	}
	if closed := s.f.Close(); err == nil {
		err = closed
	}
	if s.path == "" {
		return err
	}
	if err == nil {
		err = os.Rename(s.f.Name(), s.path)
	}
	if err != nil {
		os.Remove(s.f.Name())
		return err
	}
	return syncDir(filepath.Dir(s.path))
}

// Abort leaves no part of a regular file behind.
func (s *File) Abort(error) {
	s.f.Close()
	if s.path != "" {
		os.Remove(s.f.Name())
	}
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := d.Sync(); err != nil {
		return fmt.Errorf("sync directory %s: %w", dir, err)
	}
	return nil
}

// Stream is an open writer that is not ours to sync, as the standard output.
type Stream struct{ W io.WriteCloser }

func (s Stream) Write(b []byte) (int, error) { return s.W.Write(b) }

// Commit closes the stream, so that its reader sees the end.
func (s Stream) Commit(context.Context) error { return s.W.Close() }

// Abort closes the stream.
func (s Stream) Abort(error) { s.W.Close() }
