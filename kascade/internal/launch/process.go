package launch

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

// Times of an ssh process.
const (
	killAfter = 2 * time.Second        // that it gets to end, after its link was closed
	endWait   = 300 * time.Millisecond // for its reason, after its output has ended
)

// process is an ssh process and the link over its standard input and output.
type process struct {
	cmd     *exec.Cmd
	in, out *os.File
	said    *said
	exited  chan struct{}
	err     error // of Wait; after exited
	closing sync.Once
}

func (s *SSH) start(name string, size int) (*process, error) {
	args := s.arguments(name, size)
	p := &process{cmd: exec.Command(args[0], args[1:]...), said: &said{}, exited: make(chan struct{})}
	if s.Said != nil {
		p.said.each = func(line string) { s.Said(name, line) }
	}
	stdin, in, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	out, stdout, err := os.Pipe()
	if err != nil {
		stdin.Close()
		in.Close()
		return nil, err
	}
	p.in, p.out = in, out
	p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = stdin, stdout, p.said
	p.cmd.WaitDelay = time.Second // for the standard error, which others may have inherited
	// In a session of its own a ^C on the terminal is the head's alone, and nothing can ask
	// for a password there.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	err = p.cmd.Start()
	stdin.Close()
	stdout.Close()
	if err != nil {
		in.Close()
		out.Close()
		return nil, fmt.Errorf("start %s: %w", args[0], err)
	}
	s.procs.Go(func() {
		defer close(p.exited)
		p.err = p.cmd.Wait()
	})
	return p, nil
}

func (p *process) Write(b []byte) (int, error) { return p.in.Write(b) }

// Read says how ssh ended, if it did.
func (p *process) Read(b []byte) (int, error) {
	n, err := p.out.Read(b)
	if err == io.EOF {
		select {
		case <-p.exited:
			if p.err != nil {
				err = p.failure()
			}
		case <-time.After(endWait):
		}
	}
	return n, err
}

// Close ends the link, and ssh with it.
func (p *process) Close() error {
	p.closing.Do(func() {
		p.in.Close()
		p.out.Close()
		timer := time.AfterFunc(killAfter, func() { p.signal(syscall.SIGKILL) })
		go func() { <-p.exited; timer.Stop() }()
	})
	return nil
}

// kill ends ssh, at once if it can be.
func (p *process) kill() {
	p.signal(syscall.SIGTERM)
	p.Close()
}

// signal goes to the whole session: what stands before ssh may be a script.
func (p *process) signal(s syscall.Signal) { syscall.Kill(-p.cmd.Process.Pid, s) }

// failure says how ssh ended, after it did.
func (p *process) failure() error {
	if p.err == nil {
		return errors.New("it ended without a word: does its shell run commands?" + p.said.quote())
	}
	if last := p.said.lastLine(); last != "" {
		return errors.New(last)
	}
	return fmt.Errorf("%s: %w", p.cmd.Args[0], p.err)
}

func (s *said) quote() string {
	if last := s.lastLine(); last != "" {
		return "; it printed: " + last
	}
	return ""
}
