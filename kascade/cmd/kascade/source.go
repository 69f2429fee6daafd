package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"kadeploy/kascade"
	"kadeploy/kascade/internal/tree"
)

// source is what -i names.
type source struct {
	kascade.Source
	base  string // the file's name without directories; empty for a stream
	tree  bool   // a tar archive that is made of a directory
	close func()

	manifest *kascade.Manifest // what was sent, once that is known
}

// openSource opens -i: a file that can be read at any place, or a stream.
func (o *options) openSource(ctx context.Context) (*source, error) {
	if o.input == "-" {
		return o.spool(&source{}, o.in)
	}
	f, err := os.Open(o.input)
	if err != nil {
		return nil, fmt.Errorf("-i: %w", err)
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("-i: %w", err)
	}
	if info.IsDir() {
		f.Close()
		r, w := io.Pipe()
		go func() { w.CloseWithError(tree.Pack(ctx, w, o.input)) }()
		return o.spool(&source{tree: true}, r)
	}
	if size, err := f.Seek(0, io.SeekEnd); err == nil {
		return &source{Source: file{f, size}, base: filepath.Base(o.input), close: func() { f.Close() }}, nil
	}
	defer f.Close()
	return o.spool(&source{}, f)
}

// file is a source that can be read at any place.
type file struct {
	*os.File
	size int64
}

func (f file) Size() int64 { return f.size }

// spool copies a stream to a temporary file that has no name any more.
func (o *options) spool(s *source, r io.Reader) (*source, error) {
	f, err := os.CreateTemp("", "kascade-*")
	if err != nil {
		return nil, fmt.Errorf("copy the input to a temporary file: %w", err)
	}
	os.Remove(f.Name())
	size, err := io.Copy(f, r)
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("copy the input to a temporary file: %w", err)
	}
	s.Source, s.close = file{f, size}, func() { f.Close() }
	return s, nil
}
