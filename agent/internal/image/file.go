package image

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// NewFileSink returns a sink that makes a file of what it is given. The file
// appears under its name when it is complete and durable, or not at all.
func NewFileSink(ctx context.Context, path string, mode fs.FileMode) (*Sink, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("write file %s: %w", path, err)
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".kadeploy-*")
	if err != nil {
		return nil, fmt.Errorf("write file %s: %w", path, err)
	}
	return start(ctx, "write file "+path, &fileConsumer{path: path, mode: mode, file: f}), nil
}

type fileConsumer struct {
	path string
	mode fs.FileMode
	file *os.File
}

func (c *fileConsumer) consume(_ context.Context, r io.Reader, count func(bytes, entries int64)) error {
	buf := make([]byte, inputBuffer)
	for {
		n, err := r.Read(buf)
		if n > 0 {
			if _, err := c.file.Write(buf[:n]); err != nil {
				return fmt.Errorf("write file %s: %w", c.path, err)
			}
			count(int64(n), 0)
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("write file %s: %w", c.path, err)
		}
	}
}

// finish flushes before it renames: the name never stands for half a file.
func (c *fileConsumer) finish() error {
	err := c.file.Chmod(c.mode)
	if err == nil {
		err = c.file.Sync()
	}
	if cerr := c.file.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(c.file.Name(), c.path)
	}
	if err != nil {
		return fmt.Errorf("write file %s: %w", c.path, err)
	}
	return nil
}

func (c *fileConsumer) discard() error {
	c.file.Close()
	if err := os.Remove(c.file.Name()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
