package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const (
	startTime = 30 * time.Second // QEMU on a loaded machine; it takes 0.1 s on an idle one
	quitTime  = 5 * time.Second  // for QEMU to obey SIGTERM, then SIGKILL
)

// startMachine makes the node's files and starts its QEMU, which returns when
// its sockets answer, and goes on in the background, powered off.
func (l *Lab) startMachine(ctx context.Context, n *Node) error {
	if err := l.createFiles(n); err != nil {
		return fmt.Errorf("start %s: %w", n.Name, err)
	}
	output, err := os.Create(n.output())
	if err != nil {
		return fmt.Errorf("start %s: %w", n.Name, err)
	}
	defer output.Close()

	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	// Not a pipe: the process that stays would keep it open.
	command := exec.CommandContext(ctx, n.Command[0], n.Command[1:]...)
	command.Stdout, command.Stderr = output, output
	if err := l.Run(command); err != nil {
		said, _ := os.ReadFile(n.output())
		return fmt.Errorf("start %s: %w\n%s\nQEMU command: %s", n.Name, errors.Join(err, ctx.Err()), bytes.TrimSpace(said), n.CommandLine())
	}
	l.log.Info("machine started, powered off", "node", n.Name, "console", n.ConsoleLog)
	return nil
}

func (l *Lab) createFiles(n *Node) error {
	if err := os.Mkdir(n.directory(), 0o755); err != nil {
		return err
	}
	for _, file := range n.disks() {
		disk, err := os.OpenFile(file, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
		if err != nil {
			return err
		}
		if err := errors.Join(disk.Truncate(l.plan.DiskBytes), disk.Close()); err != nil {
			return fmt.Errorf("make disk: %w", err)
		}
	}
	if l.plan.UEFI {
		return copyFile(n.variables(), ovmfVars)
	}
	return nil
}

func copyFile(to, from string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// stopMachine ends the node's QEMU, if it runs.
//
// The process is held by a descriptor from before its command line is looked at
// until it is gone, so that a number that was given to another process
// meanwhile cannot make us end that one.
func (l *Lab) stopMachine(ctx context.Context, n *Node) error {
	pid, err := n.readPID()
	if err != nil || pid == 0 {
		return err
	}
	process, err := unix.PidfdOpen(pid, 0)
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("stop %s: process %d: %w", n.Name, pid, err)
	}
	defer unix.Close(process)
	if !runsAs(pid, n.Command) {
		l.log.Warn("the recorded process is not this machine, left alone", "node", n.Name, "pid", pid)
		return nil
	}
	for _, signal := range []unix.Signal{unix.SIGTERM, unix.SIGKILL} {
		if err := unix.PidfdSendSignal(process, signal, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("stop %s: signal process %d: %w", n.Name, pid, err)
		}
		gone, err := waitGone(ctx, process, quitTime)
		if err != nil {
			return fmt.Errorf("stop %s: wait for process %d: %w", n.Name, pid, err)
		}
		if gone {
			return nil
		}
	}
	return fmt.Errorf("stop %s: process %d is still there %s after SIGKILL", n.Name, pid, quitTime)
}

// PID is the process of the node's QEMU, 0 if it does not run.
func (n Node) PID() int {
	pid, err := n.readPID()
	if err != nil || pid == 0 || !runsAs(pid, n.Command) {
		return 0
	}
	return pid
}

// readPID reads what QEMU wrote when it started, and 0 where it removed it when it ended.
func (n Node) readPID() (int, error) {
	content, err := os.ReadFile(n.PIDFile)
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("process of %s: %w", n.Name, err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(content)))
	if err != nil || pid < 1 {
		return 0, fmt.Errorf("process of %s: %s holds %q instead of a process number", n.Name, n.PIDFile, content)
	}
	return pid, nil
}

// runsAs tells whether a process was started with exactly this command line.
func runsAs(pid int, command []string) bool {
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil || len(content) == 0 {
		return false
	}
	return slices.Equal(strings.Split(strings.TrimSuffix(string(content), "\x00"), "\x00"), command)
}

// waitGone waits until a process has ended; its descriptor then becomes readable.
func waitGone(ctx context.Context, process int, limit time.Duration) (bool, error) {
	const slice = 50 * time.Millisecond // how late the end of ctx may be noticed
	for end := time.Now().Add(limit); time.Now().Before(end); {
		if err := ctx.Err(); err != nil {
			return false, err
		}
		set := []unix.PollFd{{Fd: int32(process), Events: unix.POLLIN}}
		ready, err := unix.Poll(set, int(slice/time.Millisecond))
		if err != nil && !errors.Is(err, unix.EINTR) {
			return false, err
		}
		if ready > 0 {
			return true, nil
		}
	}
	return false, nil
}
