package client

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// ClusterStatus is where the nodes of a cluster are in an operation.
type ClusterStatus struct {
	Cluster string
	Micros  []MicroStatus // sorted by macro-step in the order of a deployment, then by name
	OK, KO  []string      // nodes that have their verdict
}

// MicroStatus is one micro-step that nodes are in, or came through.
type MicroStatus struct {
	Macro, Micro string
	Seconds      int
	Nodes        map[string][]string // under OK, KO and, for those still in it, **
}

// Status asks where the nodes of an operation are; none when it is over.
func (c *Client) Status(ctx context.Context, op Operation) ([]ClusterStatus, error) {
	var raw map[string]map[string]json.RawMessage
	if err := c.Get(ctx, op.Resources.Status, nil, &raw); err != nil {
		return nil, err
	}
	var all []ClusterStatus
	for cluster, entries := range raw {
		s, err := readStatus(cluster, entries)
		if err != nil {
			return nil, fmt.Errorf("status of %s: cluster %s: the server's answer makes no sense: %w", op.ID, cluster, err)
		}
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b ClusterStatus) int { return strings.Compare(a.Cluster, b.Cluster) })
	return all, nil
}

func readStatus(cluster string, entries map[string]json.RawMessage) (ClusterStatus, error) {
	s := ClusterStatus{Cluster: cluster}
	for name, entry := range entries {
		var err error
		switch name {
		case "OK":
			err = json.Unmarshal(entry, &s.OK)
		case "KO":
			err = json.Unmarshal(entry, &s.KO)
		default:
			var micros map[string]struct {
				Nodes map[string][]string `json:"nodes"`
				Time  int                 `json:"time"`
			}
			err = json.Unmarshal(entry, &micros)
			for micro, m := range micros {
				s.Micros = append(s.Micros, MicroStatus{name, micro, m.Time, m.Nodes})
			}
		}
		if err != nil {
			return s, fmt.Errorf("%s: %w", name, err)
		}
	}
	order := func(macro string) int {
		return slices.IndexFunc([]string{"SetDeployment", "BroadcastEnv", "BootNewEnv"}, func(p string) bool { return strings.HasPrefix(macro, p) })
	}
	slices.SortFunc(s.Micros, func(a, b MicroStatus) int {
		return cmp.Or(cmp.Compare(order(a.Macro), order(b.Macro)), strings.Compare(a.Macro, b.Macro), strings.Compare(a.Micro, b.Micro))
	})
	return s, nil
}

// Nodes are the names of all nodes that the server has.
func (c *Client) Nodes(ctx context.Context, user string) ([]string, error) {
	var names []string
	err := c.Get(ctx, "/nodes", map[string][]string{"user": {user}, "list": {"true"}}, &names)
	return names, err
}
