package sink

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Times that a command gets.
const (
	grace   = 2 * time.Second // between INT and KILL
	lastGap = time.Second     // to end, after it stopped reading
)

// Command feeds the standard input of a shell command, which runs in a process group of
// its own.
type Command struct {
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	output *tail
	exited chan struct{}
	err    error // of Wait; after exited
}

// NewCommand starts line with /bin/sh. What it prints goes to out, and the end of it
// into error messages.
func NewCommand(line string, out io.Writer) (*Command, error) {
	c := &Command{cmd: exec.Command("/bin/sh", "-c", line), output: &tail{to: out}, exited: make(chan struct{})}
	c.cmd.Stdout, c.cmd.Stderr = c.output, c.output
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	c.cmd.WaitDelay = grace // for the output of processes that it left behind
	var err error
	if c.stdin, err = c.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if err := c.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %q: %w", line, err)
	}
	go func() {
		defer close(c.exited)
		c.err = c.cmd.Wait()
	}()
	return c, nil
}

// Write feeds the command. If it does not read any more, the error says how it ended.
func (c *Command) Write(b []byte) (int, error) {
	n, err := c.stdin.Write(b)
	if err == nil {
		return n, nil
	}
	select {
	case <-c.exited:
		if c.err != nil {
			return n, c.failure()
		}
		return n, errors.New("the command ended well without reading everything" + c.output.quote())
	case <-time.After(lastGap):
		return n, fmt.Errorf("the command does not read any more: %w%s", err, c.output.quote())
	}
}

// Commit closes the command's input and waits until it ends.
func (c *Command) Commit(ctx context.Context) error {
	c.stdin.Close()
	select {
	case <-c.exited:
	case <-ctx.Done():
		c.kill()
		return context.Cause(ctx)
	}
	if c.err != nil {
		return c.failure()
	}
	return nil
}

// Abort interrupts the command, and kills it if that does not help.
func (c *Command) Abort(error) { c.kill() }

func (c *Command) kill() {
	syscall.Kill(-c.cmd.Process.Pid, syscall.SIGINT)
	c.stdin.Close()
	select {
	case <-c.exited:
	case <-time.After(grace):
		syscall.Kill(-c.cmd.Process.Pid, syscall.SIGKILL)
		<-c.exited
	}
}

func (c *Command) failure() error {
	return fmt.Errorf("the command failed: %w%s", c.err, c.output.quote())
}

// tail passes output on and keeps the end of it.
type tail struct {
	to io.Writer

	mu  sync.Mutex
	end []byte
}

// tailSize is how much of a command's output an error message quotes, in bytes.
const tailSize = 1000

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	t.end = append(t.end, b...)
	if over := len(t.end) - tailSize; over > 0 {
		t.end = bytes.Clone(t.end[over:])
	}
	t.mu.Unlock()
	return t.to.Write(b)
}

func (t *tail) quote() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := strings.TrimSpace(strings.ToValidUTF8(string(t.end), "?"))
	if s == "" {
		return ""
	}
	return "; it printed: " + s
}
