package bench

import (
	"fmt"
	"io"
	"math/rand/v2"
	"os"
)

// data is the file that is broadcast: it is in the page cache, and has no name any more if
// it was made here.
type data struct {
	*os.File
	size int64
}

// openData makes or opens the source.
func openData(kind string, size int64) (*data, error) {
	var content io.Reader
	switch kind {
	case "zero":
		content = zeros{}
	case "random", "":
		content = rand.NewChaCha8([32]byte{})
	default:
		return openFile(kind)
	}
	f, err := os.CreateTemp("", "kascade-bench-*")
	if err != nil {
		return nil, fmt.Errorf("make a source of %d bytes: %w", size, err)
	}
	os.Remove(f.Name())
	if _, err := io.CopyBuffer(f, io.LimitReader(content, size), make([]byte, 1<<20)); err != nil {
		f.Close()
		return nil, fmt.Errorf("make a source of %d bytes in %s: %w", size, os.TempDir(), err)
	}
	return &data{f, size}, nil
}

func openFile(path string) (*data, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("--data: %w", err)
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("--data %s is not a regular file", path)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return &data{f, info.Size()}, nil
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) {
	clear(b)
	return len(b), nil
}
