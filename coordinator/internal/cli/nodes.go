package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/spf13/cobra"

	"kadeploy/coordinator/internal/client"
	"kadeploy/coordinator/internal/manual"
	"kadeploy/coordinator/internal/nodeset"
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
	states                       bool
	deployments, reboots, powers bool
	consoles, every              bool
	wid                          string
}

func (a *App) nodesCommand(name string) *cobra.Command {
	n := &nodesCmd{generic: generic{app: a}, machines: machines{app: a}}
	cmd := &cobra.Command{
		Use:     name + " -s|-d|-r|-p|-c|-a [options]",
		Short:   "Show the states of nodes and the operations that run",
		Long:    "Show the states of nodes, or the operations that the server knows, in YAML.\n\n" + exitCodes,
		Example: fmt.Sprintf("  %[1]s -s -m node-[1-3].lab\n  %[1]s -d", name),
		Args:    manual.Words(),
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
	fs.BoolVarP(&n.consoles, "consoles", "c", false, "the consoles")
	fs.BoolVarP(&n.every, "all", "a", false, "all operations and consoles")
	fs.StringVarP(&n.wid, "workflow-id", "w", "", "only the operation `ID`")
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
	if n.consoles || n.every {
		paths = append(paths, "/console")
	}
	switch {
	case n.states && (len(paths) > 0 || n.wid != ""):
		return errors.New("-s shows nodes, the other options operations: give one or the other")
	case !n.states && len(paths) == 0:
		return mistake("Say what to show: -s, -d, -r, -p, -c or -a")
	case !n.states && len(nodes) > 0:
		return errors.New("-m and -f are for -s only")
	case n.wid != "" && len(paths) != 1:
		return errors.New("-w needs one of -d, -r, -p and -c")
	}
	if n.states {
		return n.showStates(ctx, nodes)
	}
	return n.each(ctx, func(ctx context.Context, s *session) error {
		for _, path := range paths {
			if n.wid != "" {
				path += client.PathOf(n.wid)
			}
			err := n.show(ctx, s, path, nil)
			var answer *client.Error
			if errors.As(err, &answer) && answer.Status == http.StatusNotFound && n.every && path == "/console" {
				continue // an older server has none
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// showStates shows nodes, of several servers each its own.
func (n *nodesCmd) showStates(ctx context.Context, nodes []string) error {
	if len(nodes) == 0 {
		return n.each(ctx, func(ctx context.Context, s *session) error { return n.show(ctx, s, "/nodes", nil) })
	}
	all, err := n.sessions(ctx)
	if err != nil {
		return err
	}
	defer closeAll(all)
	shares := [][]string{nodes}
	if n.several {
		if shares, err = share(ctx, all, nodes); err != nil {
			return err
		}
	}
	for i, s := range all {
		if len(shares[i]) == 0 {
			continue
		}
		if err := n.show(ctx, s, "/nodes", url.Values{"nodes": shares[i]}); err != nil {
			return err
		}
	}
	return nil
}

// show prints the server's answer as it is, or in JSON one object per line.
func (n *nodesCmd) show(ctx context.Context, s *session, path string, query url.Values) error {
	if !n.json {
		text, err := s.GetText(ctx, path, query, "application/x-yaml")
		if err != nil {
			return err
		}
		_, err = io.WriteString(s.app.Stdout, text)
		return err
	}
	var answer json.RawMessage
	if err := s.Get(ctx, path, query, &answer); err != nil {
		return err
	}
	objects, err := objectsOf(path == "/nodes", answer)
	if err != nil {
		return fmt.Errorf("GET %s: the server's answer makes no sense: %w", path, err)
	}
	enc := json.NewEncoder(s.app.Stdout)
	for _, o := range objects {
		if err := enc.Encode(o); err != nil {
			return err
		}
	}
	return nil
}

// objectsOf takes an answer apart: a map of nodes, a list of operations, or one operation.
func objectsOf(nodes bool, answer json.RawMessage) ([]map[string]any, error) {
	if !nodes {
		var list []map[string]any
		if json.Unmarshal(answer, &list) == nil {
			return list, nil
		}
		var one map[string]any
		err := json.Unmarshal(answer, &one)
		return []map[string]any{one}, err
	}
	var byName map[string]map[string]any
	if err := json.Unmarshal(answer, &byName); err != nil {
		return nil, err
	}
	names := sortedKeys(byName)
	nodeset.Sort(names)
	var list []map[string]any
	for _, name := range names {
		o := byName[name]
		if o == nil {
			o = make(map[string]any) // nothing is known of it
		}
		o["node"] = name
		list = append(list, o)
	}
	return list, nil
}
