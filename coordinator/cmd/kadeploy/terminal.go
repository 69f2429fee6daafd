package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// enter tells of each line that is typed on the terminal, until ctx ends; nil if
// the standard input is none. It reads only while this program is in the
// foreground and something is there, so that what is typed for the shell, or for
// a script that is run at the end, is left alone.
func enter(ctx context.Context) <-chan struct{} {
	fd := int(os.Stdin.Fd())
	if !term.IsTerminal(fd) {
		return nil
	}
	pressed := make(chan struct{}, 1)
	go func() {
		in := bufio.NewReader(os.Stdin)
		for ctx.Err() == nil {
			if !typed(fd) {
				continue
			}
			if _, err := in.ReadString('\n'); err != nil {
				return
			}
			select {
			case pressed <- struct{}{}:
			default: // one answer is enough
			}
		}
	}()
	return pressed
}

// typed waits a moment for input that is ours.
func typed(fd int) bool {
	const moment = 200 * time.Millisecond
	fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	n, err := unix.Poll(fds, int(moment.Milliseconds()))
	if err != nil || n == 0 {
		return false
	}
	front, err := unix.IoctlGetInt(fd, unix.TIOCGPGRP)
	if err != nil || front != unix.Getpgrp() {
		time.Sleep(moment) // the shell's; poll would return at once again
		return false
	}
	return true
}

// columns is the width of the terminal, 0 if the output is not one.
func columns() int {
	if !term.IsTerminal(int(os.Stdout.Fd())) || !term.IsTerminal(int(os.Stderr.Fd())) {
		return 0
	}
	width, _, err := term.GetSize(int(os.Stderr.Fd()))
	if err != nil || width == 0 {
		return 80
	}
	return width
}

func askPassword() (string, error) {
	if !term.IsTerminal(int(os.Stdin.Fd())) {
		return "", fmt.Errorf("the standard input is not a terminal; give the password with --password=PASSWORD")
	}
	fmt.Fprint(os.Stderr, "Password: ")
	password, err := term.ReadPassword(int(os.Stdin.Fd()))
	fmt.Fprintln(os.Stderr)
	return string(password), err
}

func typing() bool { return term.IsTerminal(int(os.Stdin.Fd())) }

// raw hands each key over as it is typed, ^C included.
func raw() (restore func(), err error) {
	fd := int(os.Stdin.Fd())
	before, err := term.MakeRaw(fd)
	if err != nil {
		return nil, err
	}
	return func() { term.Restore(fd, before) }, nil
}
