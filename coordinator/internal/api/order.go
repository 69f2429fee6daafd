package api

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"kadeploy/coordinator/internal/apperr"
	"kadeploy/coordinator/internal/cluster"
	"kadeploy/coordinator/internal/customops"
	"kadeploy/coordinator/internal/engine"
	"kadeploy/coordinator/internal/expression"
	"kadeploy/coordinator/internal/nodeset"
	"kadeploy/coordinator/internal/workflow"
)

// newID makes the ID of a workflow: a prefix and a random UUID (RFC 9562, version 4).
func newID(prefix string) string {
	var b [16]byte
	rand.Read(b[:]) // never fails
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%s%x-%x-%x-%x-%x", prefix, b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// order begins the request of any workflow: what all operations have in common.
func (s *server) order(c *call, kind workflow.Kind, prefix string) (*workflow.Request, error) {
	req := &workflow.Request{
		ID:        s.NewID(prefix),
		Kind:      kind,
		User:      c.caller.User,
		Created:   s.Now(),
		EnvID:     -1,
		Force:     c.set("force"),
		Hook:      c.set("hook"),
		Debug:     c.set("debug"),
		Verbosity: c.integer("verbose_level", s.Verbosity),
	}
	if req.Verbosity < 0 || req.Verbosity > 5 {
		c.fail("verbose_level", "%d is not between 1 and 5", req.Verbosity)
	}
	req.Breakpoint = readBreakpoint(c)
	if c.has("custom_operations") {
		var err error
		if req.Operations, err = customops.Parse(c.values["custom_operations"], workflow.Operations()); err != nil {
			return nil, apperr.New(apperr.InvalidCustomOp, "%w", err)
		}
	}
	nodes := c.list("nodes")
	if err := c.err(); err != nil {
		return nil, err
	}
	if len(nodes) == 0 {
		c.missing("nodes")
		return nil, c.err()
	}
	hosts, err := s.resolver.ResolveAll(nodes)
	if err != nil {
		return nil, err
	}
	req.Clusters = s.byCluster(hosts)
	return req, s.readVLAN(c, req, hosts)
}

// readVLAN reads into which VLAN the nodes go; their addresses there are looked
// up now, so that a VLAN which does not exist is refused before anything happens.
func (s *server) readVLAN(c *call, req *workflow.Request, hosts []string) (err error) {
	if req.Kind == workflow.Power || !c.has("vlan") {
		return nil
	}
	req.VLAN = c.text("vlan")
	if c.err() != nil {
		return c.err()
	}
	if s.VLANs == nil {
		return apperr.New(apperr.InvalidVLAN, "this site has no VLANs; leave --vlan out")
	}
	req.VLANAddrs, err = s.VLANs.Addresses(c.ctx, hosts, req.VLAN)
	return err
}

var breakpointForm = regexp.MustCompile(`^\w+(:\w+)?$`)

// readBreakpoint reads macro or macro:micro. The users' guide writes it with a
// stray space before the colon.
func readBreakpoint(c *call) string {
	b := strings.ReplaceAll(c.text("breakpoint"), " ", "")
	if b != "" && !breakpointForm.MatchString(b) {
		c.fail("breakpoint", "%q has not the form MACRO or MACRO:MICRO", b)
	}
	return b
}

// byCluster groups resolved hosts, which are sorted, in the order of the configuration.
func (s *server) byCluster(hosts []string) []workflow.ClusterNodes {
	var groups []workflow.ClusterNodes
	for _, cl := range s.Site.Clusters {
		of := make(map[string]bool, len(cl.Nodes))
		for _, n := range cl.Nodes {
			of[n.Name] = true
		}
		var members []string
		for _, host := range hosts {
			if of[host] {
				members = append(members, host)
			}
		}
		if len(members) > 0 {
			groups = append(groups, workflow.ClusterNodes{Cluster: cl, Nodes: members})
		}
	}
	return groups
}

// permit checks the caller's rights on the nodes of a request. partition gives the
// names of what is written to on a cluster's nodes; none if only the nodes themselves count.
func (s *server) permit(c *call, req *workflow.Request, partition func(cl *cluster.Cluster) []string) error {
	for _, group := range req.Clusters {
		names := partition(group.Cluster)
		refused, err := s.Rights.MayUse(c.ctx, c.caller.User, group.Nodes, names...)
		if err != nil {
			return err
		}
		if len(refused) == 0 {
			continue
		}
		where := nodeset.Fold(refused)
		if len(names) > 0 {
			where = names[0] + " of " + where
		}
		return apperr.New(apperr.InvalidRights, "user %s has no right on %s; ask an administrator, or for nodes that are yours", c.caller.User, where)
	}
	return nil
}

func nodesOnly(*cluster.Cluster) []string { return nil }

// submit starts a workflow that passed all checks, and tells where it is found.
func (s *server) submit(c *call, req *workflow.Request, prepare engine.Prepare) (any, error) {
	if c.set("dry_run") {
		return nil, plan(req)
	}
	if prepare == nil {
		prepare = func(context.Context, func(int, string)) (engine.Rest, error) { return nil, nil }
	}
	if err := s.Workflows.Submit(c.ctx, req, prepare); err != nil {
		return nil, err
	}
	// Rights that were withdrawn since they were checked: whoever did it may have
	// looked for workflows to end before this one was among them.
	if err := s.permit(c, req, nodesOnly); err != nil {
		return nil, errors.Join(err, s.Workflows.Cancel(req.ID, withdrawn))
	}
	return map[string]any{"wid": req.ID, "resources": resources(req)}, nil
}

// resources are the paths of a workflow (contract 7.6).
func resources(req *workflow.Request) map[string]any {
	base := "/" + string(req.Kind) + "/" + req.ID
	logs := make(map[string]string)
	debugs := make(map[string]string)
	for _, group := range req.Clusters {
		logs[group.Cluster.Name] = base + "/logs/" + escape(group.Cluster.Name) + "?user=" + escape(req.User)
		for _, node := range group.Nodes {
			debugs[node] = base + "/debugs/" + escape(node) + "?user=" + escape(req.User)
		}
	}
	out := map[string]any{
		"resource": base,
		"log":      base + "/logs",
		"logs":     logs,
		"state":    base + "/state",
		"status":   base + "/status",
		"error":    base + "/error",
	}
	if req.Debug {
		out["debug"] = base + "/debugs"
		out["debugs"] = debugs
	}
	return out
}

// limit reads a time limit: a number of seconds or an expression in n (contract 1.3).
func limit(c *call, name string, nodes int) string {
	text := strings.TrimSpace(c.text(name))
	if text == "" {
		return ""
	}
	v, err := expression.Eval(text, nodes)
	if err != nil {
		c.fail(name, "%v", err)
	} else if v <= 0 {
		c.fail(name, "%q is %v seconds for %d nodes: it must be more than 0", text, v, nodes)
	}
	return text
}

func countNodes(req *workflow.Request) (n int) {
	for _, group := range req.Clusters {
		n += len(group.Nodes)
	}
	return n
}
