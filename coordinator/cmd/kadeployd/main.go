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
	"path/filepath"
	"syscall"

	"github.com/spf13/cobra"

	"kadeploy/coordinator/internal/config"
	"kadeploy/coordinator/internal/manual"
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
	s := &service{}
	root := &cobra.Command{
		Use:   filepath.Base(os.Args[0]),
		Short: "Coordinate deployments on the nodes of a site",
		Long: `Coordinate deployments on the nodes of a site until SIGINT or SIGTERM. Operations that run then go on at the next
start, as they do after a crash.

The log goes to the standard error output. As kadeploy3d, with --detach, or when
$KADEPLOY3_LOG_DIR is set, it goes to files in that directory (/var/log/kadeploy3):
output.log, error.log (warnings and errors), httpd.log (connections) and access.log
(requests, in the Common Log Format). SIGHUP opens them again, and says so in the file
"reload" of $KADEPLOY3_RUN_DIR (/var/run/kadeploy3d). SIGUSR1 and SIGUSR2 write what
the program is doing, and its memory, to the standard error output.

Exit status: 0 stopped by a signal, 1 could not start or go on.`,
		Version:       version,
		Args:          manual.Words(),
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return s.serve(cmd.Context(), o)
		},
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return fmt.Errorf("%w\n'%s --help' tells more", err, cmd.CommandPath())
	})
	root.SetVersionTemplate(versionText())
	s.define(root)
	directory := cmp.Or(os.Getenv("KADEPLOY3_CONFIG_DIR"), defaultDirectory)
	root.PersistentPreRun = func(cmd *cobra.Command, _ []string) {
		o.named = os.Getenv("KADEPLOY3_CONFIG_DIR") != "" || cmd.Flags().Changed("config")
	}
	root.PersistentFlags().StringVar(&o.directory, "config", directory, "configuration directory ($KADEPLOY3_CONFIG_DIR)")
	root.PersistentFlags().BoolVar(&o.verbose, "verbose", false, "log details too")
	root.AddCommand(o.check(), o.backup(), o.rehearse(), machinesCommand(), prepareImageCommand(), manCommand())
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
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: o.level()}))
}

func (o *options) level() slog.Level {
	if o.verbose {
		return slog.LevelDebug
	}
	return slog.LevelInfo
}
