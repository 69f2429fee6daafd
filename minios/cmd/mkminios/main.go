// Command mkminios builds the mini-OS, a kernel and an initrd, from a manifest
// of Debian packages and the agent's binary.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"kadeploy/minios/internal/build"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	if err := command().ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "mkminios:", err)
		os.Exit(1)
	}
}

func command() *cobra.Command {
	var o build.Options
	var asJSON, verbose bool
	cmd := &cobra.Command{
		Use:   "mkminios --manifest FILE --agent FILE --output DIR",
		Short: "Build the mini-OS from Debian packages",
		Long: `Build the mini-OS that nodes boot while they are deployed.

DIR gets vmlinuz, initrd.img and manifest.json, which records the packages,
sizes and SHA-256 digests. Packages come from those apt sources of this machine
that carry the manifest's suite, and are kept in the cache. Nothing is installed
and no privilege is needed. The same inputs give the same bytes; when nothing
changed, nothing is done. Versions of packages change only with --refresh.

Progress goes to standard error, the names of the files to standard output.
Exit status: 0 built or up to date, 1 failed.`,
		Example: `  mkminios --manifest minios/manifest/lab.yaml --agent bin/kadeploy-agent --output var/minios/lab`,
		Args:    cobra.NoArgs,
		Version: version(),

		SilenceUsage: true, SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			level := slog.LevelInfo
			if verbose {
				level = slog.LevelDebug
			}
			if o.Cache == "" {
				user, err := os.UserCacheDir()
				if err != nil {
					return fmt.Errorf("no cache directory: give --cache: %w", err)
				}
				o.Cache = filepath.Join(user, "kadeploy", "packages")
			}
			return run(cmd, o, asJSON, slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), &slog.HandlerOptions{
				Level: level, ReplaceAttr: withoutTime,
			})))
		},
	}
	flags := cmd.Flags()
	flags.StringVarP(&o.Manifest, "manifest", "m", "", "manifest of the image")
	flags.StringVarP(&o.Agent, "agent", "a", "", "static binary of kadeploy-agent")
	flags.StringVarP(&o.Output, "output", "o", "", "directory for the image")
	flags.StringVar(&o.Cache, "cache", "", "directory for packages (default: kadeploy/packages in the user's cache directory)")
	flags.StringVar(&o.AptEtc, "apt-etc", "/etc/apt", "apt configuration that names the package sources")
	flags.BoolVar(&o.Refresh, "refresh", false, "look for newer package versions, and build again")
	flags.BoolVar(&asJSON, "json", false, "print manifest.json instead of file names")
	flags.BoolVarP(&verbose, "verbose", "v", false, "tell more")
	for _, name := range []string{"manifest", "agent", "output"} {
		if err := cmd.MarkFlagRequired(name); err != nil {
			panic(err) // the flag is defined above
		}
	}
	return cmd
}

func run(cmd *cobra.Command, o build.Options, asJSON bool, logger *slog.Logger) error {
	start := time.Now()
	record, built, err := build.Run(cmd.Context(), o, logger)
	if err != nil {
		return err
	}
	if built {
		logger.Info("built", "image", record.Name, "kernel", record.Release, "seconds", int(time.Since(start).Seconds()))
	} else {
		logger.Info("up to date", "image", record.Name, "kernel", record.Release)
	}
	if asJSON {
		out := json.NewEncoder(cmd.OutOrStdout())
		return out.Encode(record)
	}
	for _, f := range record.Files {
		fmt.Fprintln(cmd.OutOrStdout(), filepath.Join(o.Output, f.Name))
	}
	return nil
}

func withoutTime(groups []string, a slog.Attr) slog.Attr {
	if len(groups) == 0 && a.Key == slog.TimeKey {
		return slog.Attr{}
	}
	return a
}

func version() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		return info.Main.Version
	}
	return "unknown"
}
