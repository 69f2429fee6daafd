package api

import (
	"net/http"
	"net/netip"

	"kadeploy/coordinator/internal/apperr"
	"kadeploy/coordinator/internal/cluster"
)

func (s *server) consoleRoutes() []route {
	return []route{
		{path: []string{"console"}, verbs: map[string]handler{http.MethodPost: s.openConsole, http.MethodGet: s.listConsoles}},
		{path: []string{"console", "*"}, verbs: map[string]handler{http.MethodGet: s.getConsole, http.MethodDelete: s.endConsole}},
		{path: []string{"console", "*", "error"}, verbs: map[string]handler{http.MethodGet: s.consoleError}},
	}
}

// openConsole is POST /console.
func (s *server) openConsole(c *call) (any, error) {
	name := c.text("node")
	if name == "" {
		c.missing("node")
	}
	if err := c.err(); err != nil {
		return nil, err
	}
	hosts, err := s.resolver.ResolveAll([]string{name})
	if err != nil {
		return nil, err
	}
	if len(hosts) != 1 {
		return nil, apperr.New(apperr.InvalidNodelist, "a console is that of one node; %q are %d", name, len(hosts))
	}
	node, of := hosts[0], s.clusterOf(hosts[0])
	refused, err := s.Rights.MayUse(c.ctx, c.caller.User, hosts)
	if err != nil {
		return nil, err
	}
	if len(refused) > 0 {
		return nil, apperr.New(apperr.InvalidRights, "user %s has no right on %s", c.caller.User, node)
	}
	if !s.Consoles.Has(of, node) {
		return nil, apperr.Forbidden("the site has no console of %s: remoteops/console is not configured", node)
	}
	if c.set("dry_run") {
		return nil, nil
	}
	v, err := s.Consoles.Open(ConsoleOrder{ID: s.NewID("C-"), User: c.caller.User, Node: node, Cluster: of, From: from(c)})
	if err != nil {
		return nil, err
	}
	base := "/console/" + v.ID
	return map[string]any{"wid": v.ID, "resources": map[string]string{"resource": base, "error": base + "/error", "console": v.URI}}, nil
}

// from is where a caller is; zero if he is on this host.
func from(c *call) netip.Addr {
	if c.caller.UID >= 0 {
		return netip.Addr{}
	}
	at, err := netip.ParseAddrPort(c.r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return at.Addr().Unmap()
}

func (s *server) clusterOf(node string) *cluster.Cluster {
	for _, cl := range s.Site.Clusters {
		for _, n := range cl.Nodes {
			if n.Name == node {
				return cl
			}
		}
	}
	return nil
}

func describeConsole(c *call, v ConsoleView) map[string]any {
	out := map[string]any{
		"id": v.ID, "user": v.User, "node": v.Node,
		"error": v.Done, // ended: clients stop then, and ask why
		"time":  int(v.Elapsed.Seconds()),
	}
	if c.caller.Admin || c.caller.User == v.User {
		out["attached"], out["console_uri"] = v.Attached, v.URI
	}
	return out
}

func (s *server) listConsoles(c *call) (any, error) {
	all := []any{}
	for _, v := range s.Consoles.Consoles() {
		all = append(all, describeConsole(c, v))
	}
	return all, nil
}

func (s *server) console(c *call) (ConsoleView, error) {
	v, ok := s.Consoles.Console(c.args[0])
	if !ok {
		return ConsoleView{}, apperr.New(apperr.InvalidWorkflowID, "there is no console %s (any more)", c.args[0])
	}
	return v, nil
}

func (s *server) ownConsole(c *call) (ConsoleView, error) {
	v, err := s.console(c)
	if err == nil && !c.caller.Admin && c.caller.User != v.User {
		err = apperr.Forbidden("%s belongs to user %s", v.ID, v.User)
	}
	return v, err
}

func (s *server) getConsole(c *call) (any, error) {
	v, err := s.console(c)
	if err != nil {
		return nil, err
	}
	return describeConsole(c, v), nil
}

// endConsole is DELETE /console/W.
func (s *server) endConsole(c *call) (any, error) {
	v, err := s.ownConsole(c)
	if code, coded := apperr.Of(err); coded && code == apperr.InvalidWorkflowID {
		c.w.Header().Set("Allow", http.MethodGet)
		return nil, &httpError{http.StatusMethodNotAllowed, err.Error()}
	}
	if err != nil {
		return nil, err
	}
	s.Consoles.End(v.ID, "")
	return map[string]any{"wid": v.ID}, nil
}

// consoleError is GET /console/W/error: why it ended, as an error; nothing if it
// runs, or ended as it should.
func (s *server) consoleError(c *call) (any, error) {
	v, err := s.ownConsole(c)
	if err != nil {
		return nil, err
	}
	if v.Err != nil {
		return nil, apperr.New(apperr.ExecuteError, "%w", v.Err)
	}
	return nil, nil
}
