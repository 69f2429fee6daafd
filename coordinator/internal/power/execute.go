package power

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

const (
	maxOutput = 20000           // bytes kept of each stream: its end, where the reason is
	killGrace = 2 * time.Second // between asking a command to end and ending it
	tailLines = 3               // of output in an error
)

// execute runs a command line with the shell, as a process group of its own so
// that a hanging ipmitool dies with the script that called it.
func (s *Service) execute(ctx context.Context, line string) Outcome {
	ctx, cancel := context.WithTimeoutCause(ctx, s.timeout, fmt.Errorf("no end within %v", s.timeout))
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
	out := Outcome{Command: line, Stdout: stdout.String(), Stderr: stderr.String(), Exit: -1}
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

// explain adds what the command printed last.
func explain(cause error, out Outcome) error {
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

// tail keeps the last maxOutput bytes written to it.
type tail struct{ kept []byte }

func (t *tail) Write(p []byte) (int, error) {
	t.kept = append(t.kept, p...)
	if len(t.kept) > 2*maxOutput { // moved rarely, not at each write
		t.kept = append(t.kept[:0], t.kept[len(t.kept)-maxOutput:]...)
	}
	return len(p), nil
}

func (t *tail) String() string { return string(t.kept[max(0, len(t.kept)-maxOutput):]) }
