package lab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Inside calls f on a thread that is in the lab's network namespace. What f
// starts on other goroutines is outside of it.
func (l *Lab) Inside(f func() error) error {
	return onThread(func() error {
		if err := l.enter(); err != nil {
			return err
		}
		return f()
	})
}

// Start starts a command inside the lab's network namespace.
func (l *Lab) Start(command *exec.Cmd) error { return l.Inside(command.Start) }

// Run runs a command inside the lab's network namespace and waits for its end.
func (l *Lab) Run(command *exec.Cmd) error {
	if err := l.Start(command); err != nil {
		return err
	}
	return command.Wait()
}

// Dial connects from inside the lab's network namespace. There are no names in
// it: the address is numeric.
func (l *Lab) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	var connection net.Conn
	err := l.Inside(func() (err error) {
		connection, err = new(net.Dialer).DialContext(ctx, network, address)
		return err
	})
	return connection, err
}

// Exec replaces the calling process by a command inside the lab's network
// namespace. It returns only if that fails.
func (l *Lab) Exec(command []string) error {
	program, err := exec.LookPath(command[0])
	if err != nil {
		return fmt.Errorf("run %s: %w", command[0], err)
	}
	runtime.LockOSThread() // the namespace is this thread's, and execve keeps that
	defer runtime.UnlockOSThread()
	if err := l.enter(); err != nil {
		return err
	}
	return fmt.Errorf("run %s: %w", program, unix.Exec(program, command, os.Environ()))
}

func (l *Lab) enter() error {
	namespace, err := os.Open(l.namespaceFile())
	if err != nil {
		return fmt.Errorf("enter the lab's network namespace: %w", err)
	}
	defer namespace.Close()
	if err := unix.Setns(int(namespace.Fd()), unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("enter network namespace %s: %w", l.plan.Namespace, err)
	}
	return nil
}

// onThread calls f on a thread whose network namespace f may change. A thread
// that cannot be brought back to where it was ends with its goroutine.
func onThread(f func() error) error {
	result := make(chan error)
	go func() {
		runtime.LockOSThread()
		before, err := os.Open(fmt.Sprintf("/proc/self/task/%d/ns/net", unix.Gettid()))
		if err != nil {
			runtime.UnlockOSThread()
			result <- fmt.Errorf("this thread's network namespace: %w", err)
			return
		}
		defer before.Close()
		err = f()
		if back := unix.Setns(int(before.Fd()), unix.CLONE_NEWNET); back == nil {
			runtime.UnlockOSThread()
		}
		result <- err
	}()
	return <-result
}

type insider struct {
	pid     int
	program string
}

// insiders lists the processes in the lab's network namespace, but not this one.
func (l *Lab) insiders() []insider {
	namespace, err := os.Stat(l.namespaceFile())
	if err != nil {
		return nil
	}
	links, _ := filepath.Glob("/proc/[0-9]*/ns/net")
	var found []insider
	for _, link := range links {
		stat, err := os.Stat(link)
		if err != nil || !os.SameFile(stat, namespace) {
			continue
		}
		process := filepath.Dir(filepath.Dir(link))
		pid, err := strconv.Atoi(filepath.Base(process))
		name, nameErr := os.ReadFile(filepath.Join(process, "comm"))
		if errors.Join(err, nameErr) == nil && pid != os.Getpid() {
			found = append(found, insider{pid, strings.TrimSpace(string(name))})
		}
	}
	return found
}
