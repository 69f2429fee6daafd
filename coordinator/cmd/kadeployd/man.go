package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"kadeploy/coordinator/internal/manual"
)

// manCommand is kadeployd man, which packagers and make use.
func manCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "man DIRECTORY",
		Short: "Write the manual pages of the daemon",
		Long:  "Write the manual pages of the daemon, under both its names, into a directory.",
		Args:  manual.Words("DIRECTORY"),
		RunE: func(cmd *cobra.Command, args []string) error {
			root := cmd.Root()
			root.Use = "kadeployd"
			if err := writePages(root, args[0]); err != nil {
				return fmt.Errorf("manual pages: %w", err)
			}
			return nil
		},
	}
}

func writePages(root *cobra.Command, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, cmd := range append([]*cobra.Command{root}, root.Commands()...) {
		if !cmd.IsAvailableCommand() && cmd != root {
			continue
		}
		f, err := os.Create(filepath.Join(dir, manual.Name(cmd)+".8"))
		if err != nil {
			return err
		}
		err = manual.Write(f, cmd, manual.Page{Section: "8", Source: "kadeploy " + version, See: []string{"kadeploy(1)"}, Notes: []manual.Note{
			{Title: "FILES", Text: "/etc/kadeploy3/server.conf, clusters.conf, command.conf   the site\n/run/kadeploy/kadeployd.sock   for users on this host\n/var/log/kadeploy3   logs, of kadeploy3d or with --detach"},
			{Title: "ENVIRONMENT", Text: "KADEPLOY3_CONFIG_DIR   the configuration directory\nKADEPLOY3_LOG_DIR      where logs are written\nKADEPLOY3_RUN_DIR      where the answer to SIGHUP is written"},
		}})
		if err := errors.Join(err, f.Close()); err != nil {
			return err
		}
	}
	return os.WriteFile(filepath.Join(dir, originalName+".8"), []byte(".so man8/kadeployd.8\n"), 0o644)
}
