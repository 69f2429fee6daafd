package api

import (
	"maps"
	"slices"

	"kadeploy/coordinator/internal/apperr"
	"kadeploy/coordinator/internal/cluster"
	"kadeploy/coordinator/internal/env"
)

func (s *server) version(*call) (any, error) { return s.Version, nil }

func (s *server) headerPrefix(*call) (any, error) { return s.HeaderPrefix, nil }

func (s *server) clusters(*call) (any, error) {
	names := []string{}
	for _, cl := range s.Site.Clusters {
		names = append(names, cl.Name)
	}
	return names, nil
}

func (s *server) cluster(name string) *cluster.Cluster {
	i := slices.IndexFunc(s.Site.Clusters, func(cl *cluster.Cluster) bool { return cl.Name == name })
	if i < 0 {
		return nil
	}
	return s.Site.Clusters[i]
}

// info is GET /info: how the server is configured (contract 7.4).
func (s *server) info(*call) (any, error) {
	automata := make(map[string]any)
	systems := make(map[string][]string)
	for _, cl := range s.Site.Clusters {
		automata[cl.Name] = map[string]any{
			"SetDeploymentEnv": describeInstances(cl.Automaton.SetDeploymentEnv),
			"BroadcastEnv":     describeInstances(cl.Automaton.BroadcastEnv),
			"BootNewEnv":       describeInstances(cl.Automaton.BootNewEnv),
		}
		systems[cl.Name] = list(cl.MiniOS.Filesystems)
	}
	var vars []string
	for _, v := range env.ReservedVariables() {
		vars = append(vars, env.VariablePrefix+v)
	}
	return map[string]any{"pxe": s.BootMethod, "automata": automata, "supported_fs": systems, "vars": vars}, nil
}

func describeInstances(all []cluster.Instance) []any {
	out := []any{}
	for _, i := range all {
		out = append(out, map[string]any{"name": i.Name, "retries": i.Retries, "timeout": int(i.Timeout.Seconds())})
	}
	return out
}

// nodeView is a node as GET /nodes shows it.
type nodeView struct {
	State       string          `json:"state"`
	User        string          `json:"user"`
	Environment *environmentRef `json:"environment"`
}

type environmentRef struct {
	Name    string `json:"name"`
	Version int    `json:"version"`
	User    string `json:"user"`
}

// nodes is GET /nodes: names only with list, else what is known of each.
func (s *server) nodes(c *call) (any, error) {
	wanted := c.list("nodes")
	if err := c.err(); err != nil {
		return nil, err
	}
	hosts := s.resolver.Names()
	if len(wanted) > 0 {
		var err error
		if hosts, err = s.resolver.ResolveAll(wanted); err != nil {
			return nil, err
		}
	}
	if c.set("list") {
		return list(hosts), nil
	}
	return s.nodeViews(c, hosts)
}

func (s *server) nodeViews(c *call, hosts []string) (map[string]*nodeView, error) {
	infos, err := s.Nodes.NodeInfos(c.ctx, hosts)
	if err != nil {
		return nil, err
	}
	out := make(map[string]*nodeView, len(hosts))
	for _, host := range hosts {
		out[host] = nil
	}
	for host, info := range maps.All(infos) {
		v := &nodeView{State: info.State, User: info.User}
		if info.Env != nil {
			v.Environment = &environmentRef{info.Env.Name, info.Env.Version, info.Env.Owner}
		}
		out[host] = v
	}
	return out, nil
}

// node is GET /nodes/HOST.
func (s *server) node(c *call) (any, error) {
	host, err := s.resolver.Resolve(c.args[0])
	if err != nil {
		return nil, apperr.NotFound("%v", err)
	}
	views, err := s.nodeViews(c, []string{host})
	if err != nil {
		return nil, err
	}
	if views[host] == nil {
		return &nodeView{}, nil
	}
	return views[host], nil
}
