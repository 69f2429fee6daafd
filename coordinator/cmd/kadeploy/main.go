// Command kadeploy is what users type: it deploys environments on nodes,
// reboots them and switches their power by asking a coordinator to. Under the
// names kadeploy3, kaenv3, kareboot3, kapower3, kaconsole3, kanodes3, karights3
// and kastat3 it is the original's command of that name.
package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"os/user"
	"syscall"

	"golang.org/x/sys/unix"

	"kadeploy/coordinator/internal/cli"
)

// version is set by the linker.
var version = "development"

func main() {
	// Before anything opens files: 3 and 4 are the caller's, if they are open.
	debug, trace := inherited(3), inherited(4)
	// The first signal cancels in order; after it the default comes back: the second stops at once.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	home, _ := os.UserHomeDir() // without one, ~/.ssh does not exist, which is told
	login, acting := users()
	app := &cli.App{
		Name: os.Args[0], Version: version,
		Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, Debug: debug, Trace: trace,
		Getenv: os.Getenv, Home: home, User: acting, Login: login,
		Password: askPassword, Terminal: columns, Enter: enter,
		Typing: typing, Raw: raw,
	}
	os.Exit(app.Run(ctx, os.Args[1:]))
}

// inherited is a file descriptor that the caller left open for us to write to, or
// nil. What the Go runtime itself opens (the limits of its control group, its
// poller) is closed on exec, which nothing inherited can be.
func inherited(fd uintptr) io.Writer {
	flags, err := unix.FcntlInt(fd, unix.F_GETFD, 0)
	if err != nil || flags&unix.FD_CLOEXEC != 0 {
		return nil
	}
	mode, err := unix.FcntlInt(fd, unix.F_GETFL, 0)
	if err != nil || mode&unix.O_ACCMODE == unix.O_RDONLY {
		return nil
	}
	return os.NewFile(fd, fmt.Sprintf("descriptor %d", fd))
}

// users are who the kernel says that we are, and who calls (contract 1.1); a
// server elsewhere decides whether to believe the latter.
func users() (login, acting string) {
	if u, err := user.Current(); err == nil {
		login = u.Username
	}
	return login, cmp.Or(os.Getenv("USER"), os.Getenv("USERNAME"), login)
}
