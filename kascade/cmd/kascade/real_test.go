package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// built is the directory of the real program, once a test has needed it.
var built string

// program builds the real, static program, once.
var program = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "kascade-test-*")
	if err != nil {
		return "", err
	}
	built = dir
	path := filepath.Join(dir, "kascade")
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", path, ".")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", errors.New(err.Error() + ": " + string(out))
	}
	return path, nil
})

// real is a run of the real program as a process.
type real struct {
	cmd      *exec.Cmd
	out, err bytes.Buffer
	code     int
	took     time.Duration

	cancel  context.CancelFunc
	once    sync.Once
	waitErr error
}

// ended waits for the process, once.
func (r *real) ended() error {
	r.once.Do(func() { r.waitErr = r.cmd.Wait() })
	return r.waitErr
}

// realRun runs the program to its end; wrap stands before it.
func realRun(t *testing.T, wrap []string, in []byte, args ...string) *real {
	t.Helper()
	r := realStart(t, wrap, in, args...)
	r.wait(t)
	return r
}

func realStart(t *testing.T, wrap []string, in []byte, args ...string) *real {
	t.Helper()
	r := prepare(t, wrap, in, args...)
	r.start(t)
	return r
}

// prepare is a run that is not started yet.
func prepare(t *testing.T, wrap []string, in []byte, args ...string) *real {
	t.Helper()
	path, err := program()
	must(t, err)
	words := append(append(append([]string(nil), wrap...), path), args...)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	r := &real{cmd: exec.CommandContext(ctx, words[0], words[1:]...)}
	r.cmd.Stdin, r.cmd.Stdout, r.cmd.Stderr = bytes.NewReader(in), &r.out, &r.err
	r.cancel = cancel
	return r
}

func (r *real) start(t *testing.T) {
	t.Helper()
	must(t, r.cmd.Start())
	t.Cleanup(func() { r.cancel(); r.ended() })
}

func (r *real) wait(t *testing.T) {
	t.Helper()
	start := time.Now()
	err := r.ended()
	r.took = time.Since(start)
	r.code = r.cmd.ProcessState.ExitCode()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
}
