package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"kadeploy/minios/lab/site"
)

func (c *command) site() *cobra.Command {
	var o site.Options
	cmd := &cobra.Command{
		Use:   "site",
		Short: "Write the configuration of a coordinator that serves the lab",
		Long: "Write server.conf, clusters.conf, the cluster's file and client.conf for a coordinator that\n" +
			"serves the lab's machines. Power is switched by this very program.",
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			l, err := c.open()
			if err != nil {
				return err
			}
			o.Plan = l.Plan()
			if o.LabCommand, err = os.Executable(); err != nil {
				return fmt.Errorf("find the lab program: %w", err)
			}
			for _, p := range []*string{&o.Directory, &o.State, &o.MiniOS, &o.DeploymentKey} {
				if *p, err = filepath.Abs(*p); err != nil {
					return err
				}
			}
			return site.Write(o)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.Directory, "out", "var/site", "configuration directory to write")
	f.StringVar(&o.State, "state", "var/state", "directory of the coordinator's database, cache and socket")
	f.StringVar(&o.MiniOS, "minios", "var/minios", "directory of the mini-OS")
	f.StringVar(&o.DeploymentKey, "key", "var/keys/deploy.pub", "public key that may log in to the mini-OS")
	return cmd
}
