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

// size is the number of bytes, or less than 0 if it is not known.
func (s *source) size() int64 {
	if s.manifest != nil {
		return s.manifest.Size
	}
	return s.Size()
}

// openSource opens -i: a file that can be read at any place, or a stream.
func (o *options) openSource(ctx context.Context) (*source, error) {
	if o.input == "-" {
		return &source{Source: kascade.NewStream(o.in), close: func() {}}, nil
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
		if o.resume {
			return nil, fmt.Errorf("--resume is for files: %s is a directory, which is packed anew each time", o.input)
		}
		return packed(ctx, o.input), nil
	}
	s := &source{base: filepath.Base(o.input), close: func() { f.Close() }}
	if size, err := f.Seek(0, io.SeekEnd); err == nil {
		s.Source = file{f, size}
		return s, nil
	}
	s.Source, s.base = kascade.NewStream(f), ""
	return s, nil
}

// packed is a directory as a tar archive, which is made while it is sent.
func packed(ctx context.Context, dir string) *source {
	r, w := io.Pipe()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		w.CloseWithError(tree.Pack(ctx, w, dir))
	}()
	return &source{Source: kascade.NewStream(r), tree: true, close: func() { r.Close(); <-ended }}
}

// file is a source that can be read at any place.
type file struct {
	*os.File
	bytes int64
}

func (f file) Size() int64 { return f.bytes }
