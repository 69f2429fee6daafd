package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"kadeploy/agent/internal/command"
	"kadeploy/agent/internal/rootfs"
)

// enter runs a program of the system below root, as scripts of sites and users
// need it. The status is the program's own.
func enter(root string, words []string) (status int, err error) {
	if root, err = filepath.EvalSymlinks(root); err != nil {
		return 1, err
	}
	if root, err = filepath.Abs(root); err != nil {
		return 1, err
	}
	if root == "/" {
		return 2, errors.New("chroot: / is the running system: call the program by itself")
	}
	path := words[0]
	if !filepath.IsAbs(path) {
		if path, err = command.ToolIn(root, path); err != nil {
			return 127, err
		}
	}
	// What is mounted is taken down also when the script that called is ended.
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	leave, err := rootfs.Enter(root, true)
	if err != nil {
		return 1, err
	}
	defer func() {
		if undone := leave(); undone != nil {
			err = errors.Join(err, undone)
			status = max(status, 1)
		}
	}()
	err = command.Run(ctx, command.Cmd{
		Path: path, Args: words[1:], Root: root, Env: os.Environ(), Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
	})
	var exit *command.ExitError
	switch {
	case err == nil:
		return 0, nil
	case errors.As(err, &exit) && exit.Cause == "" && exit.Signal == "":
		return exit.Status, nil // the program has said why
	}
	return 1, fmt.Errorf("chroot: %w", err)
}
