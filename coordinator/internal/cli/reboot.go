package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"kadeploy/coordinator/internal/client"
)

// reboot is kareboot3 (contract 1.4).
type reboot struct {
	operation
	place
	environment
	kind        string
	level       string
	key         string
	vlan        string
	profile     string
	limit       string
	destructive bool
}

func (a *App) rebootCommand(name string) *cobra.Command {
	r := &reboot{operation: operation{
		generic: generic{app: a}, machines: machines{app: a},
		words: words{kind: "reboot", title: "Reboot operation", name: "reboot operation"},
	}}
	cmd := &cobra.Command{
		Use:   name + " [options]",
		Short: "Reboot nodes",
		Long: `Reboot nodes: as they are (simple), with a boot profile of yours (set_pxe), into the
mini-OS of deployments (deploy_env), or on a partition that holds an environment (recorded_env).

` + exitCodes,
		Example: fmt.Sprintf("  %[1]s -m node-2.lab\n  %[1]s -r deploy_env -k -m node-2.lab", name),
		Args:    cobra.NoArgs,
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
	fs.StringVarP(&r.profile, "set-pxe-profile", "w", "", "the boot profile in `FILE`")
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
	case (r.kind == "set_pxe") != (r.profile != ""):
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
	defer r.stopLending()
	if err := r.check(); err != nil {
		return err
	}
	nodes, err := r.machines.chosen()
	if err != nil {
		return err
	}
	body := r.request(nodes)
	uris, err := r.fill(body)
	if err != nil {
		return err
	}
	c, err := r.connect(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	if r.kind == "recorded_env" {
		if _, err := r.environment.fill(ctx, &r.generic, c, body); err != nil {
			return err
		}
	}
	if err := r.lend(ctx, c, body, uris); err != nil {
		return err
	}
	return r.run(ctx, c, nodes, func(op *client.Operation) error { return c.Post(ctx, "/reboot/", body, op) })
}

// fill adds the options that only reboots have, and returns the files that the server will fetch.
func (r *reboot) fill(body map[string]any) (uris []string, err error) {
	r.place.fill(body)
	body["kind"] = r.kind
	for key, text := range map[string]string{"level": r.level, "vlan": r.vlan, "timeout_reboot_classical": r.limit} {
		if text != "" {
			body[key] = text
		}
	}
	if r.destructive {
		body["check_destructive"] = true
	}
	if r.profile != "" {
		data, err := os.ReadFile(r.profile)
		if err != nil {
			return nil, fmt.Errorf("boot profile: %w", err)
		}
		body["pxe"] = map[string]any{"profile": string(data)}
	}
	if r.key != "" && r.key != "none" {
		key, err := keyFile(r.generic.app, r.key)
		if err != nil {
			return nil, err
		}
		body["ssh_authorized_keys"] = key
		uris = append(uris, key)
	}
	return uris, nil
}

// power is kapower3 (contract 1.5).
type power struct {
	operation
	on, off, status bool
	level           string
}

func (a *App) powerCommand(name string) *cobra.Command {
	p := &power{operation: operation{
		generic: generic{app: a}, machines: machines{app: a},
		words: words{kind: "power", title: "Power operation", name: "power operation"},
	}}
	cmd := &cobra.Command{
		Use:     name + " --on|--off|--status [options]",
		Short:   "Switch nodes on or off, or ask whether they are",
		Long:    "Switch nodes on or off, or ask whether they are.\n\n" + exitCodes,
		Example: fmt.Sprintf("  %[1]s --off -l hard -m node-2.lab\n  %[1]s --status -m node-[1-3].lab", name),
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if asked, err := p.asked(cmd.Context()); asked {
				return err
			}
			return p.do(cmd.Context())
		},
	}
	fs := cmd.Flags()
	fs.SortFlags = false
	fs.BoolVar(&p.on, "on", false, "switch the nodes on")
	fs.BoolVar(&p.off, "off", false, "switch the nodes off")
	fs.BoolVar(&p.status, "status", false, "ask whether the nodes are on")
	fs.StringVarP(&p.level, "op-level", "l", "", "the `LEVEL` to begin with: soft, hard or very_hard")
	p.operation.define(cmd)
	return cmd
}

func (p *power) do(ctx context.Context) error {
	if err := p.begin(); err != nil {
		return err
	}
	chosen := 0
	for _, b := range []bool{p.on, p.off, p.status} {
		if b {
			chosen++
		}
	}
	switch {
	case chosen != 1:
		return errors.New("give exactly one of --on, --off and --status")
	case p.status && p.level != "":
		return errors.New("-l is for --on and --off only")
	}
	nodes, err := p.machines.chosen()
	if err != nil {
		return err
	}
	body := p.request(nodes)
	if p.level != "" {
		body["level"] = p.level
	}
	c, err := p.connect(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	return p.run(ctx, c, nodes, func(op *client.Operation) error {
		switch {
		case p.on:
			body["status"] = "on"
		case p.off:
			body["status"] = "off"
		default:
			return c.Get(ctx, "/power", queryOf(body), op)
		}
		return c.Put(ctx, "/power/", body, op)
	})
}
