package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"

	"github.com/spf13/cobra"

	"kadeploy/coordinator/internal/client"
)

// queryOf puts parameters into a query string.
func queryOf(body map[string]any) url.Values {
	q := make(url.Values)
	for key, v := range body {
		switch v := v.(type) {
		case []string:
			q[key] = v
		default:
			q.Set(key, fmt.Sprint(v))
		}
	}
	return q
}

// nodesCmd is kanodes3 (contract 1.7).
type nodesCmd struct {
	generic
	machines
	states                              bool
	deployments, reboots, powers, every bool
	wid                                 string
	json                                bool
}

func (a *App) nodesCommand(name string) *cobra.Command {
	n := &nodesCmd{generic: generic{app: a}, machines: machines{app: a}}
	cmd := &cobra.Command{
		Use:     name + " -s|-d|-r|-p|-a [options]",
		Short:   "Show the states of nodes and the operations that run",
		Long:    "Show the states of nodes, or the operations that the server knows, in YAML.\n\n" + exitCodes,
		Example: fmt.Sprintf("  %[1]s -s -m node-[1-3].lab\n  %[1]s -d", name),
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if asked, err := n.asked(cmd.Context()); asked {
				return err
			}
			return n.do(cmd.Context())
		},
	}
	fs := cmd.Flags()
	fs.SortFlags = false
	fs.BoolVarP(&n.states, "get-status", "s", false, "the last state of nodes, of all unless -m or -f choose some")
	fs.BoolVarP(&n.deployments, "deployments", "d", false, "the deployments")
	fs.BoolVarP(&n.reboots, "reboots", "r", false, "the reboots")
	fs.BoolVarP(&n.powers, "powers", "p", false, "the power operations")
	fs.BoolVarP(&n.every, "all", "a", false, "all operations")
	fs.StringVarP(&n.wid, "workflow-id", "w", "", "only the operation `ID`")
	fs.BoolVar(&n.json, "json", false, "in JSON instead of YAML")
	n.machines.define(cmd)
	n.generic.define(cmd)
	return cmd
}

func (n *nodesCmd) do(ctx context.Context) error {
	nodes, err := n.machines.given()
	if err != nil {
		return err
	}
	var paths []string
	if n.deployments || n.every {
		paths = append(paths, "/deployment")
	}
	if n.reboots || n.every {
		paths = append(paths, "/reboot")
	}
	if n.powers || n.every {
		paths = append(paths, "/power")
	}
	switch {
	case n.states && (len(paths) > 0 || n.wid != ""):
		return errors.New("-s shows nodes, the other options operations: give one or the other")
	case !n.states && len(paths) == 0:
		return mistake("Say what to show: -s, -d, -r, -p or -a")
	case !n.states && len(nodes) > 0:
		return errors.New("-m and -f are for -s only")
	case n.wid != "" && len(paths) != 1:
		return errors.New("-w needs one of -d, -r and -p")
	}
	c, err := n.connect(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	if n.states {
		var query url.Values
		if len(nodes) > 0 {
			query = url.Values{"nodes": nodes}
		}
		return n.show(ctx, c, "/nodes", query)
	}
	for _, path := range paths {
		if n.wid != "" {
			path += client.PathOf(n.wid)
		}
		if err := n.show(ctx, c, path, nil); err != nil {
			return err
		}
	}
	return nil
}

// show prints the server's answer as it is.
func (n *nodesCmd) show(ctx context.Context, c *client.Client, path string, query url.Values) error {
	accept := "application/x-yaml"
	if n.json {
		accept = "application/json"
	}
	text, err := c.GetText(ctx, path, query, accept)
	if err != nil {
		return err
	}
	_, err = io.WriteString(n.generic.app.Stdout, text)
	return err
}
