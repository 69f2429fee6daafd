package api

import (
	"errors"
	"net/http"

	"kadeploy/coordinator/internal/apperr"
)

// all stands for every node, or every partition.
const all = "*"

func (s *server) rightsRoutes() []route {
	verbs := func(handlers map[string]handler) map[string]handler {
		for verb, h := range handlers {
			handlers[verb] = adminOnly(h)
		}
		return handlers
	}
	return []route{
		{path: []string{"rights"}, verbs: verbs(map[string]handler{http.MethodGet: s.listRights, http.MethodPost: s.grantRights})},
		{path: []string{"rights", "*"}, verbs: verbs(map[string]handler{http.MethodGet: s.listRights, http.MethodDelete: s.revokeRights})},
		{path: []string{"rights", "*", "*"}, verbs: verbs(map[string]handler{http.MethodGet: s.listRights, http.MethodDelete: s.revokeRights})},
	}
}

func adminOnly(h handler) handler {
	return func(c *call) (any, error) {
		if !c.caller.Admin {
			return nil, apperr.Forbidden("only administrators deal with rights")
		}
		return h(c)
	}
}

// byUser is the form of rights in answers: user, node, partitions.
func byUser(rights []Right) map[string]map[string][]string {
	out := make(map[string]map[string][]string)
	for _, r := range rights {
		if out[r.User] == nil {
			out[r.User] = make(map[string][]string)
		}
		out[r.User][r.Node] = append(out[r.User][r.Node], r.Partition)
	}
	return out
}

func (s *server) listRights(c *call) (any, error) {
	names := append(c.args, "", "")
	found, err := s.RightsTable.ListRights(c.ctx, names[0], names[1])
	if err != nil {
		return nil, err
	}
	if len(found) == 0 && names[0] != "" {
		return nil, apperr.NotFound("user %s has no such right", names[0])
	}
	return byUser(found), nil
}

func (s *server) grantRights(c *call) (any, error) {
	user := c.text("username")
	if user == "" {
		user = c.caller.User
	}
	rights, err := s.readRights(c, user, c.list("nodes"))
	if err != nil || c.set("dry_run") {
		return nil, err
	}
	if err := s.RightsTable.GrantRights(c.ctx, rights, c.set("overwrite")); err != nil {
		return nil, err
	}
	if c.set("overwrite") {
		if err := s.endUnentitled(c); err != nil {
			return nil, err
		}
	}
	return byUser(rights), nil
}

func (s *server) revokeRights(c *call) (any, error) {
	nodes := c.list("nodes")
	if len(c.args) > 1 {
		nodes = c.args[1:]
	}
	rights, err := s.readRights(c, c.args[0], nodes)
	if err != nil || c.set("dry_run") {
		return nil, err
	}
	if err := s.RightsTable.RevokeRights(c.ctx, rights); err != nil {
		return nil, err
	}
	if err := s.endUnentitled(c); err != nil {
		return nil, err
	}
	return byUser(rights), nil
}

// withdrawn is why workflows end whose user may not use their nodes any more.
const withdrawn = "the rights on the nodes were withdrawn"

// endUnentitled ends whatever runs on nodes on which its user has no right left.
func (s *server) endUnentitled(c *call) error {
	var errs []error
	for _, v := range s.Workflows.Views("") {
		if v.Done {
			continue
		}
		refused, err := s.Rights.MayUse(c.ctx, v.User, v.Nodes)
		if err == nil && len(refused) > 0 {
			s.Logger.Warn("rights were withdrawn: the workflow is ended", "workflow", v.ID, "user", v.User, "nodes", refused)
			err = s.Workflows.Cancel(v.ID, withdrawn)
		}
		errs = append(errs, err)
	}
	if s.Consoles == nil {
		return errors.Join(errs...)
	}
	for _, v := range s.Consoles.Consoles() {
		refused, err := s.Rights.MayUse(c.ctx, v.User, []string{v.Node})
		if err == nil && len(refused) > 0 && !v.Done {
			s.Consoles.End(v.ID, "client killed")
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// readRights is every combination of the nodes and the partitions of a request.
func (s *server) readRights(c *call, user string, nodes []string) ([]Right, error) {
	partitions := c.list("partitions")
	if err := c.err(); err != nil {
		return nil, err
	}
	if len(partitions) == 0 {
		partitions = []string{all}
	}
	if len(nodes) == 0 || len(nodes) == 1 && nodes[0] == all {
		nodes = []string{all}
	} else {
		var err error
		if nodes, err = s.resolver.ResolveAll(nodes); err != nil {
			return nil, err
		}
	}
	var rights []Right
	for _, node := range nodes {
		for _, part := range partitions {
			rights = append(rights, Right{User: user, Node: node, Partition: part})
		}
	}
	return rights, nil
}
