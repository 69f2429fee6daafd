package initsys

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Program is what to start. Its input is /dev/null and its output the console, unless Terminal says otherwise.
type Program struct {
	Path     string
	Args     []string // without the program's name
	Name     string   // what the process is called; the path if empty
	Terminal string   // device that becomes its input, output, and controlling terminal
}

// children starts processes and is the only one that waits for any: the first
// process inherits orphans, and whoever else called wait could take a status that
// belongs to another. Package os/exec is therefore not to be used in this process.
type children struct {
	logger *slog.Logger

	mu   sync.Mutex // held from fork to the entry in live, and from wait to its removal
	live map[int]chan unix.WaitStatus
}

func newChildren(logger *slog.Logger) *children {
	return &children{logger: logger, live: map[int]chan unix.WaitStatus{}}
}

// start starts a program in a session of its own. The channel gets its status, once.
func (c *children) start(p Program) (pid int, ended <-chan unix.WaitStatus, err error) {
	stdin, stdout := "/dev/null", "/dev/console"
	attr := &syscall.SysProcAttr{Setsid: true}
	if p.Terminal != "" {
		stdin, stdout = p.Terminal, p.Terminal
		attr.Setctty = true // Ctty is descriptor 0 of the child
	}
	in, err := os.OpenFile(stdin, os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return 0, nil, fmt.Errorf("start %s: %w", p.Path, err)
	}
	defer in.Close()
	out, err := os.OpenFile(stdout, os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return 0, nil, fmt.Errorf("start %s: %w", p.Path, err)
	}
	defer out.Close()
	name := p.Name
	if name == "" {
		name = p.Path
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	pid, err = syscall.ForkExec(p.Path, append([]string{name}, p.Args...), &syscall.ProcAttr{
		Dir: "/", Env: environment(),
		Files: []uintptr{in.Fd(), out.Fd(), out.Fd()},
		Sys:   attr,
	})
	if err != nil {
		return 0, nil, fmt.Errorf("start %s: %w", p.Path, err)
	}
	status := make(chan unix.WaitStatus, 1)
	c.live[pid] = status
	return pid, status, nil
}

// environment of every child; the kernel's own arguments that it made into variables are no business of theirs.
func environment() []string {
	return []string{
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"HOME=/root", "USER=root", "LOGNAME=root", "SHELL=/bin/bash", "TERM=linux", "LANG=C.UTF-8",
	}
}

// run starts a program and waits for it. When ctx ends the program's process group is killed.
func (c *children) run(ctx context.Context, path string, args ...string) error {
	pid, ended, err := c.start(Program{Path: path, Args: args})
	if err != nil {
		return err
	}
	select {
	case status := <-ended:
		if status.Exited() && status.ExitStatus() == 0 {
			return nil
		}
		return fmt.Errorf("%s %v: %s", path, args, describe(status))
	case <-ctx.Done():
		c.kill(pid)
		return fmt.Errorf("%s %v: %w", path, args, context.Cause(ctx))
	}
}

// kill ends a child with its process group, unless it was reaped: its number may be another's by then.
func (c *children) kill(pid int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ours := c.live[pid]; ours {
		_ = unix.Kill(-pid, unix.SIGKILL) // gone is as good as killed
	}
}

// reap collects the status of every child and orphan that ends, until ctx ends.
func (c *children) reap(ctx context.Context) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, unix.SIGCHLD)
	defer signal.Stop(signals)
	for {
		for c.reapOne() {
		}
		select {
		case <-signals:
		case <-ctx.Done():
			return
		}
	}
}

func (c *children) reapOne() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	var status unix.WaitStatus
	pid, err := unix.Wait4(-1, &status, unix.WNOHANG, nil)
	if err == unix.EINTR {
		return true
	}
	if err != nil || pid <= 0 {
		return false
	}
	if ended, ours := c.live[pid]; ours {
		delete(c.live, pid)
		ended <- status
	}
	return true
}

// Waits between the deaths of a program that must keep running.
const (
	restartMin   = 250 * time.Millisecond
	restartMax   = 10 * time.Second
	restartReset = 30 * time.Second // having run this long, it starts from restartMin again
)

// keep runs a program again and again until ctx ends.
func (c *children) keep(ctx context.Context, p Program) {
	wait := restartMin
	for ctx.Err() == nil {
		began := time.Now()
		pid, ended, err := c.start(p)
		if err == nil {
			c.logger.Info("started", "program", p.label(), "pid", pid)
			select {
			case status := <-ended:
				err = fmt.Errorf("%s", describe(status))
			case <-ctx.Done():
				return // the end of the system kills it in its turn
			}
		}
		if time.Since(began) > restartReset {
			wait = restartMin
		}
		c.logger.Warn("restarting", "program", p.label(), "cause", err, "in", wait)
		select {
		case <-time.After(wait):
		case <-ctx.Done():
		}
		wait = min(2*wait, restartMax)
	}
}

func (p Program) label() string {
	if p.Name != "" {
		return p.Name
	}
	return p.Path
}

func describe(s unix.WaitStatus) string {
	if s.Signaled() {
		return "killed by " + unix.SignalName(s.Signal())
	}
	return fmt.Sprintf("exit status %d", s.ExitStatus())
}
