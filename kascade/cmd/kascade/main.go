// Kascade puts one file or directory on many hosts through a chain of TCP connections. It
// is wiring only: options, the head's and the node's part, progress and reports.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

// version is set by the linker.
var version = "unknown"

// Exit codes, those of the original.
const (
	exitOK        = 0
	exitFatal     = 1 // or every node failed
	exitSome      = 2 // some nodes failed
	exitImpatient = 3 // ^C again
)

func main() {
	ctx, cancel := context.WithCancelCause(context.Background())
	// A reader that goes away is an error of what writes, not the end of the process: a
	// node whose output fails goes on relaying. Commands are not affected, as they would be
	// if the signal were ignored.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	go func() {
		s := <-signals
		cancel(fmt.Errorf("%v", s))
		<-signals
		os.Exit(exitImpatient)
	}()
	os.Exit(run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// exitError is an outcome that was reported already, and its code.
type exitError int

func (e exitError) Error() string { return fmt.Sprintf("exit code %d", int(e)) }

// run is the whole program but for the process.
func run(ctx context.Context, args []string, in io.Reader, out, errs io.Writer) int {
	o := &options{in: in, out: out, errs: errs}
	cmd := o.command()
	cmd.SetArgs(args)
	cmd.SetOut(out)
	cmd.SetErr(errs)
	err := cmd.ExecuteContext(ctx)
	var code exitError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &code):
		return int(code)
	}
	fmt.Fprintln(errs, "kascade:", err)
	return exitFatal
}
