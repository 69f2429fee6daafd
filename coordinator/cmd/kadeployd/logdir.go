package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"
)

// Directories of the original.
const (
	defaultLogDir = "/var/log/kadeploy3"
	defaultRunDir = "/var/run/kadeploy3d"
)

// logDir are the files of a daemon that has no terminal to write to: output.log has
// its log, error.log warnings, errors and crashes, httpd.log what went wrong with
// connections, access.log a line for each request.
type logDir struct {
	dir                    string
	keepStdout, keepStderr bool

	httpd, access reopened
}

// reopened is a file that can be opened again under its name.
type reopened struct {
	mu   sync.Mutex
	file *os.File
}

func (r *reopened) Write(data []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.file.Write(data)
}

func (r *reopened) replace(file *os.File) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	old := r.file
	r.file = file
	if old == nil {
		return nil
	}
	return old.Close()
}

// open makes or opens again all files, so that logs can be rotated by renaming them.
func (l *logDir) open() error {
	if err := os.MkdirAll(l.dir, 0o755); err != nil {
		return fmt.Errorf("directory of the logs: %w", err)
	}
	var problems []error
	for name, to := range map[string]*reopened{"httpd.log": &l.httpd, "access.log": &l.access} {
		f, err := l.file(name)
		if err == nil {
			err = to.replace(f)
		}
		problems = append(problems, err)
	}
	if !l.keepStdout {
		problems = append(problems, l.onto("output.log", os.Stdout))
	}
	if !l.keepStderr {
		problems = append(problems, l.onto("error.log", os.Stderr))
	}
	return errors.Join(problems...)
}

func (l *logDir) file(name string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(l.dir, name), os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o640)
	if err != nil {
		return nil, fmt.Errorf("log: %w ($KADEPLOY3_LOG_DIR names another directory)", err)
	}
	return f, nil
}

// onto makes a file what a standard stream writes to, for crashes of the runtime too.
func (l *logDir) onto(name string, stream *os.File) error {
	f, err := l.file(name)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := unix.Dup3(int(f.Fd()), int(stream.Fd()), 0); err != nil {
		return fmt.Errorf("log %s: %w", name, err)
	}
	return nil
}

// logger writes everything to stdout, and from warnings on to stderr instead.
func (l *logDir) logger(level slog.Level) *slog.Logger {
	opts := &slog.HandlerOptions{Level: level}
	return slog.New(byLevel{slog.NewTextHandler(os.Stdout, opts), slog.NewTextHandler(os.Stderr, opts)})
}

// byLevel is two places for what is ordinary and for what is wrong.
type byLevel struct{ ordinary, wrong slog.Handler }

func (b byLevel) of(level slog.Level) slog.Handler {
	if level >= slog.LevelWarn {
		return b.wrong
	}
	return b.ordinary
}
func (b byLevel) Enabled(ctx context.Context, level slog.Level) bool {
	return b.of(level).Enabled(ctx, level)
}
func (b byLevel) Handle(ctx context.Context, r slog.Record) error {
	return b.of(r.Level).Handle(ctx, r)
}
func (b byLevel) WithAttrs(attrs []slog.Attr) slog.Handler {
	return byLevel{b.ordinary.WithAttrs(attrs), b.wrong.WithAttrs(attrs)}
}
func (b byLevel) WithGroup(name string) slog.Handler {
	return byLevel{b.ordinary.WithGroup(name), b.wrong.WithGroup(name)}
}

// reload opens the logs again, and writes how that went where the original did:
// the file "reload" in its run directory, a code on the first line, then a message.
func (l *logDir) reload(runDir string) error {
	err := l.open()
	answer := "0\nthe logs are opened again; a changed configuration needs a restart\n"
	if err != nil {
		answer = fmt.Sprintf("1\n%v\n", err)
	}
	if _, statErr := os.Stat(runDir); statErr != nil {
		return err // no such directory: nobody waits for an answer
	}
	return errors.Join(err, os.WriteFile(filepath.Join(runDir, "reload"), []byte(answer), 0o644))
}

func logDirectory() string { return cmp.Or(os.Getenv("KADEPLOY3_LOG_DIR"), defaultLogDir) }

func runDirectory() string { return cmp.Or(os.Getenv("KADEPLOY3_RUN_DIR"), defaultRunDir) }
