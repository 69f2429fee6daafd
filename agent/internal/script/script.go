// Package script runs what users and sites bring along: a script, a program that
// is on the node, or a line for its shell. It gives no meaning to what they do.
package script

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"kadeploy/agent/internal/command"
	"kadeploy/agent/internal/fault"
)

// Script is one thing to run; exactly one of Content, Line and Path is set.
type Script struct {
	Content   []byte // of a script; the first line may name its interpreter
	Line      string // for the shell
	Path      string // of a program on the node
	Arguments string // shell words, for Content and Path
	Variables map[string]string
	Directory string
	Timeout   time.Duration // 0: none
	TempDir   string        // where Content becomes a file

	Stdout, Stderr io.Writer
}

// shell is bash, which site scripts expect, or whatever sh is.
func shell() (string, error) {
	if path, err := command.Tool("bash"); err == nil {
		return path, nil
	}
	return command.Tool("sh")
}

// Run runs the script and waits for it, not for children that it leaves in the
// background. A non-zero exit is a *command.ExitError.
func (s Script) Run(ctx context.Context) (err error) {
	sh, err := shell()
	if err != nil {
		return err
	}
	path := s.Path
	switch {
	case s.Line != "":
		return s.run(ctx, sh, "-c", s.Line)
	case len(s.Content) > 0:
		if path, err = s.file(); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, os.Remove(path)) }()
	case path == "":
		return fault.Invalidf("run: neither a script nor a command nor a program is given")
	}
	info, err := os.Stat(path)
	if err != nil {
		return fault.Preconditionf("run %s: %w: is it in the archive, under this name?", path, err)
	}
	if info.IsDir() {
		return fault.Preconditionf("run %s: it is a directory", path)
	}
	if info.Mode()&0o111 == 0 {
		if err := os.Chmod(path, info.Mode()|0o755); err != nil {
			return fmt.Errorf("run %s: %w", path, err)
		}
	}
	// The shell makes words of the arguments, as their author expects: quotes, commas,
	// variables and redirections in them mean what they mean in a shell.
	return s.run(ctx, sh, "-c", `"$0" `+s.Arguments, path)
}

func (s Script) run(ctx context.Context, path string, args ...string) error {
	env := make([]string, 0, len(s.Variables))
	for name, value := range s.Variables {
		env = append(env, name+"="+value)
	}
	slices.Sort(env)
	return command.Run(ctx, command.Cmd{
		Path: path, Args: args, Dir: s.Directory, Env: env, Stdout: s.Stdout, Stderr: s.Stderr, Timeout: s.Timeout,
	})
}

// file makes an executable file of the content.
func (s Script) file() (string, error) {
	f, err := os.CreateTemp(s.TempDir, "kadeploy-script-*")
	if err != nil {
		return "", fmt.Errorf("make a file of the script: %w", err)
	}
	_, err = f.Write(s.Content)
	err = errors.Join(err, f.Chmod(0o755), f.Close())
	if err != nil {
		return "", errors.Join(fmt.Errorf("make a file of the script: %w", err), os.Remove(f.Name()))
	}
	return filepath.Clean(f.Name()), nil
}
