package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"kadeploy/coordinator/internal/client"
	"kadeploy/coordinator/internal/manual"
	"kadeploy/coordinator/internal/nodeset"
)

// rights is karights3 (contract 1.7).
type rights struct {
	generic
	machines
	add, remove, list bool
	user              string
	partitions        []string
	overwrite         bool
}

func (a *App) rightsCommand(name string) *cobra.Command {
	r := &rights{generic: generic{app: a}, machines: machines{app: a}}
	cmd := &cobra.Command{
		Use:     name + " -a|-d|-l [options]",
		Short:   "Say who may deploy on which nodes (administrators)",
		Long:    "Give users rights on nodes and their partitions, take them away, list them.\nOnly administrators may.\n\n" + exitCodes,
		Example: fmt.Sprintf("  %[1]s -a -u USER -m node-[1-3].lab -p /dev/vda3\n  %[1]s -l", name),
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
	fs.BoolVarP(&r.add, "add", "a", false, "give rights")
	fs.BoolVarP(&r.remove, "delete", "d", false, "take rights away")
	fs.BoolVarP(&r.list, "list", "l", false, "list rights")
	fs.StringVarP(&r.user, "user", "u", "", "the `USER`")
	fs.StringArrayVarP(&r.machines.names, "machine", "m", nil, "a `NODE` or a set of them, * for all; may be repeated; without -m and -f all")
	fs.StringArrayVarP(&r.machines.files, "file", "f", nil, "read nodes from a `FILE`, one a line; may be repeated")
	fs.StringArrayVarP(&r.partitions, "part", "p", nil, "a `PARTITION`, as /dev/sda3 or disk0/TMP, * for all; may be repeated; without -p all")
	fs.BoolVarP(&r.overwrite, "overwrite-rights", "o", false, "take the rights of others on these nodes away")
	r.generic.define(cmd)
	return cmd
}

func (r *rights) do(ctx context.Context) error {
	chosen := 0
	for _, b := range []bool{r.add, r.remove, r.list} {
		if b {
			chosen++
		}
	}
	if chosen != 1 {
		return errors.New("give exactly one of -a, -d and -l")
	}
	if !r.list && r.user == "" {
		return errors.New("-a and -d need a user: give one with -u")
	}
	body := make(map[string]any)
	if len(r.machines.names) == 1 && r.machines.names[0] == "*" && len(r.machines.files) == 0 {
		body["nodes"] = []string{"*"}
	} else if nodes, err := r.machines.given(); err != nil {
		return err
	} else if len(nodes) > 0 {
		body["nodes"] = nodes
	}
	if len(r.partitions) > 0 {
		body["partitions"] = r.partitions
	}
	if r.dryRun {
		body["dry_run"] = true
	}
	return r.each(ctx, func(ctx context.Context, s *session) error {
		var after map[string]map[string][]string
		switch {
		case r.add:
			body["username"] = r.user
			if r.overwrite {
				body["overwrite"] = true
			}
			if err := s.Post(ctx, "/rights/", body, &after); err != nil || !r.json {
				return err
			}
			return encodeRights(s, after)
		case r.remove:
			return s.Delete(ctx, client.PathOf("rights", r.user), body, nil)
		}
		return r.show(ctx, s)
	})
}

// show prints the table of rights.
func (r *rights) show(ctx context.Context, s *session) error {
	path := "/rights"
	if r.user != "" {
		path = client.PathOf("rights", r.user)
	}
	var all map[string]map[string][]string
	if err := s.Get(ctx, path, nil, &all); err != nil {
		return err
	}
	if r.json {
		return encodeRights(s, all)
	}
	_, err := io.WriteString(s.app.Stdout, rightsTable(all))
	return err
}

// encodeRights writes an object for each user and node.
func encodeRights(s *session, all map[string]map[string][]string) error {
	enc := json.NewEncoder(s.app.Stdout)
	for _, user := range sortedKeys(all) {
		nodes := sortedKeys(all[user])
		nodeset.Sort(nodes)
		for _, node := range nodes {
			err := enc.Encode(struct {
				User       string   `json:"user"`
				Node       string   `json:"node"`
				Partitions []string `json:"partitions"`
			}{user, node, all[user][node]})
			if err != nil {
				return err
			}
		}
	}
	return nil
}

func rightsTable(all map[string]map[string][]string) string {
	if len(all) == 0 {
		return "No rights have been given\n"
	}
	var b strings.Builder
	row := func(user, node, parts string) {
		b.WriteString(strings.TrimRight(fmt.Sprintf("%-15s %-41s %s", user, node, parts), " ") + "\n")
	}
	row("User", "Node", "Partitions")
	row("####", "####", "##########")
	for _, user := range sortedKeys(all) {
		nodes := sortedKeys(all[user])
		nodeset.Sort(nodes)
		for _, node := range nodes {
			row(user, node, strings.Join(all[user][node], ","))
		}
	}
	return b.String()
}
