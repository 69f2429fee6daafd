package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"kadeploy/coordinator/internal/client"
	"kadeploy/coordinator/internal/workflow"
)

// takenOver are the options that --resume has from the deployment before.
var takenOver = []string{
	"env-name", "env-user", "env-version", "env-arch", "env-file", "key", "block-device", "partition-number", "boot-partition",
	"reformat-tmp", "vlan", "no-kexec", "disable-bootloader-install", "disable-disk-partitioning", "no-prepare",
	"reboot-classical-timeout", "reboot-kexec-timeout", "force-steps", "set-pxe-profile", "set-pxe-pattern", "upload-pxe-files",
	"breakpoint", "custom-steps", "custom-variable",
}

// again deploys the failed nodes of a deployment that is over.
func (d *deploy) again(ctx context.Context, cmd *cobra.Command, args []string) error {
	if err := d.begin(); err != nil {
		return err
	}
	if len(args) > 0 {
		return mistakef("%q: the environment is that of %s; leave it out", args[0], d.resume)
	}
	for _, name := range takenOver {
		if cmd.Flags().Changed(name) {
			return mistakef("--%s is taken over from %s; leave it out", name, d.resume)
		}
	}
	if d.several {
		return mistake("--resume goes on with a deployment of one server: choose it with -S instead of -M")
	}
	nodes, err := d.machines.given()
	if err != nil {
		return err
	}
	r, err := d.request()
	if err != nil {
		return err
	}
	r.body["resume"] = d.resume
	if len(nodes) > 0 {
		r.body["nodes"] = nodes
	}
	s, err := d.session(ctx)
	if err != nil {
		return err
	}
	defer s.Close()
	if d.dryRun {
		var none client.Operation
		return d.sendForPlan(ctx, s, r.body, &none)
	}
	if nodes, err = d.remains(ctx, s, r); err != nil {
		return err
	}
	failed, err := d.run(ctx, s, r, nodes, asking{send: send("/deployment/")})
	return d.finish(ctx, failed, err)
}

// remains asks the server which nodes failed, and which files it is going to need again.
func (d *deploy) remains(ctx context.Context, s *session, r *order) (nodes []string, err error) {
	ask := r.of(nil)
	if nodes, some := r.body["nodes"]; some {
		ask.body["nodes"] = nodes
	} else {
		delete(ask.body, "nodes")
	}
	ask.body["dry_run"], ask.body["plan"] = true, true
	var p workflow.Preview
	if err := s.Post(ctx, "/deployment/", ask.body, &p); err != nil {
		return nil, err
	}
	for _, c := range p.Clusters {
		nodes = append(nodes, c.Nodes...)
	}
	for _, uri := range p.Files {
		path, local := client.Local(uri)
		if !local {
			continue
		}
		if err := client.Readable(path); err != nil {
			return nil, fmt.Errorf("%s cannot be resumed here, as a file of its client's host is to be lent again: %w; resume it where the file is, or deploy the nodes anew", d.resume, err)
		}
		r.uris = append(r.uris, uri)
	}
	r.body["nodes"] = nodes
	return nodes, nil
}
