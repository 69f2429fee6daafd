// Package command runs external programs on the node: always by absolute path,
// in a process group of their own, with a time limit that ends the whole group,
// and with the end of what they printed kept for error messages. It does not
// know what the programs are for.
package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// linger is how long output is still collected after the program itself has
// ended while some background child of it keeps the output open.
const linger = 200 * time.Millisecond

// Cmd is one program to run.
type Cmd struct {
	Path    string    // absolute, seen from inside Root
	Args    []string  // without the program's own name
	Root    string    // chroot to this directory first; "" or "/" for none
	Dir     string    // working directory inside Root; "/" if empty
	Env     []string  // complete environment; PATH and HOME are added when missing
	Stdin   io.Reader // nil: /dev/null
	Stdout  io.Writer // gets what is printed, as it comes; nil: only the tail is kept
	Stderr  io.Writer
	Timeout time.Duration // 0: only ctx limits
}

// ExitError is the failure of a program that ran, but did not exit with 0.
type ExitError struct {
	Command string // name and arguments, shortened
	Status  int    // exit status, -1 when ended by a signal
	Signal  string // name of the signal that ended it
	Cause   string // why it was ended: "time limit of 5s", ...; empty if by itself
	Tail    string // last lines of what it printed
}

func (e *ExitError) Error() string {
	var b strings.Builder
	b.WriteString(e.Command)
	switch {
	case e.Cause != "":
		fmt.Fprintf(&b, ": ended after its %s", e.Cause)
	case e.Signal != "":
		fmt.Fprintf(&b, ": killed by signal %s", e.Signal)
	default:
		fmt.Fprintf(&b, ": exit status %d", e.Status)
	}
	if e.Tail != "" {
		fmt.Fprintf(&b, ": %s", e.Tail)
	}
	return b.String()
}

// Output runs a tool of the mini-OS and returns its standard output.
func Output(ctx context.Context, tool string, args ...string) (string, error) {
	path, err := Tool(tool)
	if err != nil {
		return "", err
	}
	var out strings.Builder
	err = Run(ctx, Cmd{Path: path, Args: args, Stdout: &out})
	return out.String(), err
}

// Run runs the program and waits for it, not for children that it leaves in
// the background: those keep running and may go on printing, unheard. When ctx
// ends or the time limit passes, the whole process group is killed. The error is
// an *ExitError if the program ran and did not exit with 0.
func Run(ctx context.Context, c Cmd) error {
	if !filepath.IsAbs(c.Path) {
		return fmt.Errorf("run %s: not an absolute path", c.Path)
	}
	runCtx, cancel := ctx, context.CancelFunc(func() {})
	if c.Timeout > 0 {
		runCtx, cancel = context.WithTimeout(ctx, c.Timeout)
	}
	defer cancel()

	cmd := exec.Command(c.Path, c.Args...)
	cmd.Dir = c.Dir
	if cmd.Dir == "" {
		cmd.Dir = "/"
	}
	cmd.Env = environment(c.Env)
	cmd.Stdin = c.Stdin
	cmd.WaitDelay = linger // for Stdin's copier only: output has its own collectors
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if c.Root != "" && c.Root != "/" {
		cmd.SysProcAttr.Chroot = c.Root
	}

	var tail tail
	stdout, err := collect(c.Stdout, &tail)
	if err != nil {
		return fmt.Errorf("run %s: %w", c.Path, err)
	}
	defer stdout.detach()
	stderr, err := collect(c.Stderr, &tail)
	if err != nil {
		return fmt.Errorf("run %s: %w", c.Path, err)
	}
	defer stderr.detach()
	cmd.Stdout, cmd.Stderr = stdout.write, stderr.write

	err = cmd.Start()
	stdout.write.Close()
	stderr.write.Close()
	if err != nil {
		return fmt.Errorf("run %s: %w", c.Path, err)
	}
	cause := superviseGroup(runCtx, ctx, cmd, c.Timeout, &err)
	stdout.drain()
	stderr.drain()

	if err == nil && cause == "" || errors.Is(err, exec.ErrWaitDelay) {
		return nil
	}
	exit := &ExitError{Command: describe(c), Status: cmd.ProcessState.ExitCode(), Cause: cause, Tail: tail.String()}
	if ws, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		exit.Signal = unix.SignalName(ws.Signal())
	}
	return exit
}

// superviseGroup waits for the program and kills its process group when runCtx
// ends first; it returns why it did.
func superviseGroup(runCtx, ctx context.Context, cmd *exec.Cmd, limit time.Duration, err *error) (cause string) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		*err = cmd.Wait()
	}()
	select {
	case <-done:
		return ""
	case <-runCtx.Done():
	}
	// The group's leader is not reaped before Wait returns, so the number
	// cannot have been given to another group yet.
	_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	<-done
	if ctx.Err() != nil {
		return "call was given up"
	}
	return fmt.Sprintf("time limit of %s", limit)
}

// environment adds what a program cannot do without.
func environment(env []string) []string {
	out := append([]string(nil), env...)
	for _, def := range []string{"PATH=" + Path, "HOME=/root", "LC_ALL=C"} {
		name, _, _ := strings.Cut(def, "=")
		if !hasVariable(env, name) {
			out = append(out, def)
		}
	}
	return out
}

func hasVariable(env []string, name string) bool {
	for _, v := range env {
		if strings.HasPrefix(v, name+"=") {
			return true
		}
	}
	return false
}

// describe is the command as a person would type it, shortened.
func describe(c Cmd) string {
	s := strings.Join(append([]string{filepath.Base(c.Path)}, c.Args...), " ")
	const limit = 200
	if len(s) > limit {
		s = s[:limit] + "..."
	}
	return s
}

// collector reads one output of a program to its end, even if the program's
// background children keep it open long after: they must not die of SIGPIPE.
type collector struct {
	write *os.File
	done  chan struct{}

	mu       sync.Mutex
	detached bool
}

func collect(w io.Writer, tail *tail) (*collector, error) {
	r, pw, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("make a pipe for its output: %w", err)
	}
	c := &collector{write: pw, done: make(chan struct{})}
	go func() {
		defer close(c.done)
		defer r.Close()
		buf := make([]byte, 32<<10)
		for {
			n, err := r.Read(buf)
			c.deliver(w, tail, buf[:n])
			if err != nil {
				return
			}
		}
	}()
	return c, nil
}

func (c *collector) deliver(w io.Writer, tail *tail, p []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.detached || len(p) == 0 {
		return
	}
	tail.Write(p)
	if w != nil {
		// A listener that went away must not end the program.
		_, _ = w.Write(p)
	}
}

// drain waits for the end of the output, or a little while if somebody else keeps it open.
func (c *collector) drain() {
	t := time.NewTimer(linger)
	defer t.Stop()
	select {
	case <-c.done:
	case <-t.C:
	}
}

// detach ends delivery; what comes later is read and dropped.
func (c *collector) detach() {
	c.write.Close()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.detached = true
}
