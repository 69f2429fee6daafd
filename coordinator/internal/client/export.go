package client

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Local tells whether a file's URI means a file of the client's host, and which
// (contract 2.1): a bare path or local://.
func Local(uri string) (path string, ok bool) {
	if path, ok := strings.CutPrefix(uri, "local://"); ok {
		return path, true
	}
	if strings.Contains(uri, "://") {
		return "", false
	}
	return uri, uri != ""
}

// Absolute makes the path of a file of this host absolute, and leaves other URIs alone.
func Absolute(uri string) (string, error) {
	path, ok := Local(uri)
	if !ok {
		return uri, nil
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", fmt.Errorf("file %s: %w", path, err)
	}
	if strings.HasPrefix(uri, "local://") {
		return "local://" + abs, nil
	}
	return abs, nil
}

// Export gives files of this host to the server while an operation runs. They
// are opened with the privileges of the user who runs the client, and only those
// named are given. A server behind a Unix socket gets the open files themselves;
// others fetch them over HTTP(S).
type Export struct {
	base string
	end  func() error
}

// Export starts to give files. Each must be readable now. With secure HTTPS is
// spoken instead of HTTP; a Unix socket needs neither.
func (c *Client) Export(ctx context.Context, paths []string, secure bool) (*Export, error) {
	paths = once(paths)
	for _, path := range paths {
		f, err := openRegular(path)
		if err != nil {
			return nil, err
		}
		f.Close()
	}
	var e *Export
	var err error
	if c.server.Socket != "" {
		e, err = c.lend(ctx, paths)
	} else {
		e, err = c.serveFiles(ctx, paths, secure)
	}
	if err != nil {
		return nil, fmt.Errorf("give files to the server: %w", err)
	}
	return e, nil
}

// Readable tells why a file of this host could not be given to the server; nil if it can.
func Readable(path string) error {
	f, err := openRegular(path)
	if err != nil {
		return err
	}
	return f.Close()
}

// once leaves out what comes again: an environment may name the same archive twice.
func once(paths []string) []string {
	seen := make(map[string]bool, len(paths))
	var some []string
	for _, path := range paths {
		if !seen[path] {
			seen[path] = true
			some = append(some, path)
		}
	}
	return some
}

func openRegular(path string) (*os.File, error) {
	// A FIFO that nobody writes to would block for ever.
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	st, err := f.Stat()
	if err == nil && !st.Mode().IsRegular() {
		err = fmt.Errorf("open %s: it is not a regular file", path)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// Base is what the server is told as "client".
func (e *Export) Base() string { return e.base }

// Close ends it.
func (e *Export) Close() error { return e.end() }
