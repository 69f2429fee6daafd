package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

// socketListener listens on a Unix socket that every local user may connect to:
// the kernel says who does. A socket that a dead coordinator left is replaced; the
// database's lock has already excluded a living one.
func socketListener(path string) (net.Listener, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("directory of the socket: %w", err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("remove the old socket: %w", err)
	}
	ln, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("listen for local clients: %w", err)
	}
	if err := os.Chmod(path, 0o666); err != nil {
		return nil, errors.Join(fmt.Errorf("open the socket to all users: %w", err), ln.Close())
	}
	return ln, nil
}

// Limits of HTTP exchanges (contract 7.1 gives the answer's).
const (
	headerTime = 30 * time.Second
	answerTime = 600 * time.Second
	closeTime  = 5 * time.Second
)

// serveHTTP serves until ctx ends, then lets requests under way end.
func serveHTTP(ctx context.Context, server *http.Server, ln net.Listener) error {
	stopped := make(chan error, 1)
	stop := context.AfterFunc(ctx, func() {
		limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTime)
		defer cancel()
		err := server.Shutdown(limit)
		if err != nil {
			err = server.Close() // event streams last as long as their clients
		}
		stopped <- err
	})
	err := server.Serve(ln)
	if !stop() {
		err = <-stopped
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}
