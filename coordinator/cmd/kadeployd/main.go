// Command kadeployd is the coordinator of a site: it serves users' requests,
// boots nodes, and drives their agents. This is the one place where its parts
// are put together.
package main

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"kadeploy/coordinator/internal/config"
)

// version is set by the linker.
var version = "development"

const (
	defaultDirectory = "/etc/kadeploy3"
	defaultSocket    = "/run/kadeploy/kadeployd.sock" // where clients look first
)

func main() {
	// The first signal stops in order; after it, the default comes back: the second stops at once.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	if err := newCommand().ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "kadeployd:", err)
		os.Exit(1)
	}
}

// options are the flags of one run.
type options struct {
	directory string
	named     bool // somebody said which directory; else the built-in lab stands in for a missing one
	verbose   bool
}

func newCommand() *cobra.Command {
	o := &options{}
	root := &cobra.Command{
		Use:   "kadeployd",
		Short: "Coordinate deployments on the nodes of a site",
		Long: "Coordinate deployments on the nodes of a site, in the foreground, until SIGINT or SIGTERM.\n" +
			"The log goes to stderr.\n\nExit status: 0 stopped by a signal, 1 could not start or go on.",
		Version:       version,
		Args:          cobra.NoArgs,
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := o.load()
			if err != nil {
				return err
			}
			return run(cmd.Context(), cfg, o.logger())
		},
	}
	directory := cmp.Or(os.Getenv("KADEPLOY3_CONFIG_DIR"), defaultDirectory)
	root.PersistentPreRun = func(cmd *cobra.Command, _ []string) {
		o.named = os.Getenv("KADEPLOY3_CONFIG_DIR") != "" || cmd.Flags().Changed("config")
	}
	root.PersistentFlags().StringVar(&o.directory, "config", directory, "configuration directory ($KADEPLOY3_CONFIG_DIR)")
	root.PersistentFlags().BoolVar(&o.verbose, "verbose", false, "log details too")
	root.AddCommand(o.check(), o.backup())
	return root
}

// load reads the configuration and shows its warnings.
func (o *options) load() (*config.Config, error) {
	read := func() (*config.Config, error) { return config.Load(o.directory) }
	if !o.named && config.Missing(o.directory) {
		read = o.lab
	}
	cfg, err := read()
	if cfg == nil {
		return nil, err
	}
	for _, w := range cfg.Warnings {
		fmt.Fprintln(os.Stderr, "kadeployd: warning:", w)
	}
	return cfg, err
}

func (o *options) logger() *slog.Logger {
	level := slog.LevelInfo
	if o.verbose {
		level = slog.LevelDebug
	}
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
}
