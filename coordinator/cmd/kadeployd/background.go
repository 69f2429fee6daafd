package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// detachedMark is set for the process that goes on in the background. It tells by
// its file descriptor 3 how its start went: "ready", or what is wrong.
const detachedMark = "KADEPLOYD_DETACHED"

// detach starts this program again without the terminal, and returns when it
// serves, or with what kept it from doing so.
func detach(keepStdin bool) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("go to the background: %w", err)
	}
	told, tell, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("go to the background: %w", err)
	}
	defer told.Close()
	cmd := exec.Command(self, os.Args[1:]...)
	cmd.Args[0] = os.Args[0]
	cmd.Env = append(os.Environ(), detachedMark+"=1")
	if keepStdin {
		cmd.Stdin = os.Stdin
	}
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.ExtraFiles = []*os.File{tell}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	err = cmd.Start()
	tell.Close()
	if err != nil {
		return fmt.Errorf("go to the background: %w", err)
	}
	text, err := io.ReadAll(io.LimitReader(told, 64<<10))
	switch {
	case err != nil:
		return fmt.Errorf("wait for the start in the background: %w", err)
	case string(text) == "ready":
		return nil
	case len(text) == 0:
		return fmt.Errorf("process %d in the background ended before it served; error.log says more", cmd.Process.Pid)
	}
	return errors.New(string(text))
}

// starter is who waits for the start of a process in the background.
type starter struct{ pipe *os.File }

// startedBy is the process that called detach, or nil. The mark is not handed on.
func startedBy() *starter {
	if os.Getenv(detachedMark) == "" {
		return nil
	}
	os.Unsetenv(detachedMark)
	syscall.CloseOnExec(3)
	return &starter{os.NewFile(3, "starter")}
}

// tell says how the start went, once.
func (s *starter) tell(err error) {
	if s == nil || s.pipe == nil {
		return
	}
	text := "ready"
	if err != nil {
		text = err.Error()
	}
	io.WriteString(s.pipe, text) // who does not wait any more misses nothing
	s.pipe.Close()
	s.pipe = nil
}

// writePID writes the file that init scripts look at; remove takes it away again.
func writePID(file string) (remove func() error, err error) {
	if file == "" {
		return func() error { return nil }, nil
	}
	own := strconv.Itoa(os.Getpid())
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return nil, fmt.Errorf("PID file: %w", err)
	}
	if err := os.WriteFile(file, []byte(own+"\n"), 0o644); err != nil {
		return nil, fmt.Errorf("PID file: %w", err)
	}
	return func() error {
		// Another daemon may have written its own since.
		data, err := os.ReadFile(file)
		if err != nil || strings.TrimSpace(string(data)) != own {
			return nil
		}
		return os.Remove(file)
	}, nil
}
