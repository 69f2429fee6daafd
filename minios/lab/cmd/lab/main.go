// Command lab runs QEMU machines that boot from the network, on a bridge of
// their own: the site that the demo and the end-to-end tests deploy on.
package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"kadeploy/minios/lab"
)

func main() {
	// The first ^C stops in order; after it, the default comes back: the second stops at once.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	err := newCommand().ExecuteContext(ctx)
	if err == nil {
		return
	}
	fmt.Fprintln(os.Stderr, "lab:", err)
	os.Exit(1)
}

// command is the state of one run: what the flags for all subcommands say.
type command struct {
	directory string
	verbose   bool
}

func newCommand() *cobra.Command {
	c := &command{}
	root := &cobra.Command{
		Use:           "lab",
		Short:         "Run QEMU machines that boot from the network",
		Long:          "Run QEMU machines that boot from the network, on a bridge of their own in a network\nnamespace, with power switches and serial consoles.\n\nExit status: 0 done, 1 failed; ssh and exec: that of the command.",
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.PersistentFlags().StringVar(&c.directory, "dir", "var/lab", "directory of the lab's files")
	root.PersistentFlags().BoolVarP(&c.verbose, "verbose", "v", false, "tell on stderr what is done")
	root.CompletionOptions.DisableDefaultCmd = true
	root.AddCommand(c.up(), c.down(), c.status(), c.info(), c.power(), c.console(), c.ssh(), c.exec(), c.site())
	return root
}

func (c *command) logger() *slog.Logger {
	level := slog.LevelWarn
	if c.verbose {
		level = slog.LevelInfo
	}
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
}

func (c *command) open() (*lab.Lab, error) { return lab.Open(c.directory, c.logger()) }
