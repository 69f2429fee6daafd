package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"kadeploy/coordinator/internal/client"
	"kadeploy/coordinator/internal/manual"
)

// power is kapower3 (contract 1.5).
type power struct {
	operation
	on, off, status bool
	level           string
}

func (a *App) powerCommand(name string) *cobra.Command {
	p := &power{operation: operation{
		generic: generic{app: a}, machines: machines{app: a},
		words: powerWords,
	}}
	cmd := &cobra.Command{
		Use:     name + " --on|--off|--status [options]",
		Short:   "Switch nodes on or off, or ask whether they are",
		Long:    "Switch nodes on or off, or ask whether they are.\n\n" + exitCodes,
		Example: fmt.Sprintf("  %[1]s --off -l hard -m node-2.lab\n  %[1]s --status -m node-[1-3].lab", name),
		Args:    manual.Words(),
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
	r, err := p.request()
	if err != nil {
		return err
	}
	if p.level != "" {
		r.body["level"] = p.level
	}
	return p.operate(ctx, nodes, r, asking{send: func(ctx context.Context, s *session, body map[string]any, op *client.Operation) error {
		switch {
		case p.on:
			body["status"] = "on"
		case p.off:
			body["status"] = "off"
		default:
			return s.Get(ctx, "/power", queryOf(body), op)
		}
		return s.Put(ctx, "/power/", body, op)
	}})
}
