package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"kadeploy/coordinator/internal/manual"
)

// reboot is kareboot3 (contract 1.4).
type reboot struct {
	operation
	place
	environment
	profile
	kind        string
	level       string
	key         string
	vlan        string
	limit       string
	destructive bool
}

func (a *App) rebootCommand(name string) *cobra.Command {
	r := &reboot{operation: operation{
		generic: generic{app: a}, machines: machines{app: a},
		words: rebootWords,
	}}
	cmd := &cobra.Command{
		Use:   name + " [options]",
		Short: "Reboot nodes",
		Long: `Reboot nodes: as they are (simple), with a boot profile of yours (set_pxe), into the
mini-OS of deployments (deploy_env), or on a partition that holds an environment (recorded_env).

` + exitCodes,
		Example: fmt.Sprintf("  %[1]s -m node-2.lab\n  %[1]s -r deploy_env -k -m node-2.lab", name),
		Args:    manual.Words(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if asked, err := r.asked(cmd.Context()); asked {
				return err
			}
			return r.do(cmd.Context())
		},
	}
	fs := cmd.Flags()
	fs.SortFlags = false
	fs.StringVarP(&r.kind, "reboot-kind", "r", "simple", "the `KIND`: simple, set_pxe, deploy_env or recorded_env")
	fs.StringVarP(&r.level, "op-level", "l", "", "the `LEVEL` to begin with: soft, hard or very_hard")
	r.environment.define(cmd)
	optional(cmd, &r.key, "key", "k", "FILE", defaultKeys, "the public keys that may log in to the mini-OS: a file or a URL")
	r.place.define(cmd)
	fs.StringVar(&r.vlan, "vlan", "", "put the nodes in the VLAN `ID`")
	r.profile.define(cmd)
	fs.BoolVarP(&r.destructive, "check-destructive-tag", "c", false, "refuse (30) if a node's last environment is destructive")
	fs.StringVar(&r.limit, "reboot-classical-timeout", "", "seconds for the reboot: an `EXPRESSION` in n, the number of nodes")
	r.operation.define(cmd)
	return cmd
}

// check holds the rules between the options.
func (r *reboot) check() error {
	// Very old documents have these names.
	switch r.kind {
	case "simple_reboot":
		r.kind = "simple"
	case "env_recorded":
		r.kind = "recorded_env"
	}
	kinds := []string{"simple", "set_pxe", "deploy_env", "recorded_env"}
	recorded := r.kind == "recorded_env"
	switch {
	case !slices.Contains(kinds, r.kind):
		return fmt.Errorf("-r %s: the kinds are %s", r.kind, strings.Join(kinds, ", "))
	case (r.kind == "set_pxe") != (r.profile.file != ""):
		return errors.New("-r set_pxe and -w FILE need each other")
	case recorded && (r.environment.name == "" || r.partition == ""):
		return errors.New("-r recorded_env needs the environment (-e) and its partition (-p)")
	case !recorded && (r.environment.name != "" || r.owner != "" || r.environment.version != ""):
		return errors.New("-e, -u and --env-version are for -r recorded_env only")
	case r.key != "" && r.kind != "deploy_env":
		return errors.New("-k is for -r deploy_env only")
	}
	return nil
}

func (r *reboot) do(ctx context.Context) error {
	if err := r.begin(); err != nil {
		return err
	}
	if err := r.check(); err != nil {
		return err
	}
	nodes, err := r.machines.chosen()
	if err != nil {
		return err
	}
	o, err := r.request()
	if err != nil {
		return err
	}
	if err := r.fill(o); err != nil {
		return err
	}
	ask := asking{send: send("/reboot/")}
	if r.kind == "recorded_env" {
		ask.complete = func(ctx context.Context, s *session, o *order) error {
			files := len(o.uris)
			err := r.environment.complete(ctx, s, o)
			o.uris = o.uris[:files] // nothing of the environment is read again
			return err
		}
	}
	return r.operate(ctx, nodes, o, ask)
}

// fill adds the options that only reboots have.
func (r *reboot) fill(o *order) error {
	r.place.fill(o.body)
	o.body["kind"] = r.kind
	for key, text := range map[string]string{"level": r.level, "vlan": r.vlan, "timeout_reboot_classical": r.limit} {
		if text != "" {
			o.body[key] = text
		}
	}
	if r.destructive {
		o.body["check_destructive"] = true
	}
	if r.key != "" && r.key != "none" {
		key, err := keyFile(r.generic.app, r.key)
		if err != nil {
			return err
		}
		o.body["ssh_authorized_keys"] = key
		o.uris = append(o.uris, key)
	}
	return r.profile.fill(o)
}
