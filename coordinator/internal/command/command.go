// Package command runs the site's own commands on the coordinator's host: for
// the power of machines, for VLANs, at the end of workflows. A command is a shell
// line in a process group of its own, with a time limit, and its output is
// bounded. The package replaces no patterns and decides nothing.
package command

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// MaxOutput is how many bytes are kept of each stream: its end, where the reason is.
const MaxOutput = 20000

const (
	killGrace = 2 * time.Second // between asking a command to end and ending it
	tailLines = 3               // of output in an error
)

// Result is how a command ended.
type Result struct {
	Stdout string
	Stderr string
	Exit   int   // exit status; -1 if the command did not end by itself
	Err    error // nil: it succeeded; else with what it printed last
}

// Run runs a command line with the shell, as a process group of its own so that
// a hanging ipmitool dies with the script that called it.
func Run(ctx context.Context, line string, limit time.Duration) Result {
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("no end within %v", limit))
	defer cancel()
	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", line)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = killGrace
	var stdout, stderr tail
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if ctx.Err() != nil && cmd.Process != nil {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // what of the group is still there; ESRCH if nothing is
	}
	if errors.Is(err, exec.ErrWaitDelay) && ctx.Err() == nil {
		err = nil // it succeeded, and left a background process that holds its output
	}
	out := Result{Stdout: stdout.String(), Stderr: stderr.String(), Exit: -1}
	if cmd.ProcessState != nil {
		out.Exit = cmd.ProcessState.ExitCode()
	}
	switch {
	case err == nil:
	case ctx.Err() != nil:
		out.Err = explain(context.Cause(ctx), out)
	default:
		out.Err = explain(err, out)
	}
	return out
}

// Quote makes a text one word of a shell line, whatever is in it.
func Quote(word string) string {
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

// explain adds what the command printed last.
func explain(cause error, out Result) error {
	said := lastLines(out.Stderr)
	if said == "" {
		said = lastLines(out.Stdout)
	}
	if said == "" {
		return cause
	}
	return fmt.Errorf("%w: %s", cause, said)
}

func lastLines(s string) string {
	lines := strings.FieldsFunc(s, func(r rune) bool { return r == '\n' || r == '\r' })
	if len(lines) > tailLines {
		lines = lines[len(lines)-tailLines:]
	}
	return strings.TrimSpace(strings.Join(lines, " / "))
}

// tail keeps the last MaxOutput bytes written to it.
type tail struct{ kept []byte }

func (t *tail) Write(p []byte) (int, error) {
	t.kept = append(t.kept, p...)
	if len(t.kept) > 2*MaxOutput { // moved rarely, not at each write
		t.kept = append(t.kept[:0], t.kept[len(t.kept)-MaxOutput:]...)
	}
	return len(p), nil
}

func (t *tail) String() string { return string(t.kept[max(0, len(t.kept)-MaxOutput):]) }
