package main

import (
	"github.com/spf13/cobra"

	"kadeploy/coordinator/internal/manual"
	"kadeploy/coordinator/internal/store"
)

func (o *options) backup() *cobra.Command {
	return &cobra.Command{
		Use:   "backup FILE",
		Short: "Copy the database to a new file, also while the coordinator runs",
		Long: "Copy the database to a new file, also while the coordinator runs. The copy is of one moment.\n" +
			"A file that exists is not written over. See 'Backup' in docs/configuration.md for how to go back to a copy.",
		Args: manual.Words("FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := o.load()
			if err != nil {
				return err
			}
			return store.Backup(cmd.Context(), cfg.Server.Database.File, args[0])
		},
	}
}
