package api

import (
	"net/http"

	"kadeploy/coordinator/internal/workflow"
)

// table is every path of the interface (contract 7.4 to 7.8).
func (s *server) table() []route {
	get := func(h handler) map[string]handler { return map[string]handler{http.MethodGet: h} }
	routes := []route{
		{path: []string{"version"}, verbs: get(s.version), open: true, text: true},
		{path: []string{"auth_headers_prefix"}, verbs: get(s.headerPrefix), open: true, text: true},
		{path: []string{"openapi.json"}, verbs: get(s.openAPI), open: true, text: true},
		{path: []string{"info"}, verbs: get(s.info), open: true},
		{path: []string{"clusters"}, verbs: get(s.clusters), open: true},
		{path: []string{"nodes"}, verbs: get(s.nodes)},
		{path: []string{"nodes", "*"}, verbs: get(s.node)},
		{path: []string{"environments"}, verbs: map[string]handler{
			http.MethodGet: s.listEnvironments, http.MethodPost: s.addEnvironment, http.MethodPut: s.moveFiles,
		}},
		{path: []string{"environments", "*", "**"}, verbs: map[string]handler{
			http.MethodGet: s.getEnvironments, http.MethodPut: s.changeEnvironment, http.MethodDelete: s.removeEnvironments,
		}},
	}
	if s.Consoles != nil {
		routes = append(routes, s.consoleRoutes()...)
	}
	if s.Lender != nil {
		routes = append(routes, route{path: []string{"files"}, verbs: map[string]handler{http.MethodPost: s.lendFiles}, text: true})
	}
	if s.RightsTable != nil {
		routes = append(routes, s.rightsRoutes()...)
	}
	if s.Stats != nil {
		routes = append(routes, s.statsRoutes()...)
	}
	routes = append(routes, s.operation(workflow.Deploy, map[string]handler{http.MethodPost: s.createDeployment})...)
	routes = append(routes, s.operation(workflow.Reboot, map[string]handler{http.MethodPost: s.createReboot})...)
	routes = append(routes, s.operation(workflow.Power, map[string]handler{
		http.MethodPut: s.createPower, http.MethodGet: s.powerStatus,
	})...)
	return routes
}

// operation is the paths of one kind of workflow (contract 7.6).
func (s *server) operation(kind workflow.Kind, collection map[string]handler) []route {
	op := string(kind)
	if collection[http.MethodGet] == nil {
		collection[http.MethodGet] = s.listWorkflows(kind)
	}
	get := func(h func(workflow.Kind) handler) map[string]handler {
		return map[string]handler{http.MethodGet: h(kind)}
	}
	return []route{
		{path: []string{op}, verbs: collection},
		{path: []string{op, "*"}, verbs: map[string]handler{
			http.MethodGet: s.getWorkflow(kind), http.MethodDelete: s.deleteWorkflow(kind),
		}},
		{path: []string{op, "*", "logs"}, verbs: get(s.takeLogs), text: true},
		{path: []string{op, "*", "logs", "*"}, verbs: get(s.takeLogs), text: true},
		{path: []string{op, "*", "debugs"}, verbs: get(s.takeDebug), text: true},
		{path: []string{op, "*", "debugs", "*"}, verbs: get(s.takeDebug), text: true},
		{path: []string{op, "*", "state"}, verbs: get(s.getStates)},
		{path: []string{op, "*", "status"}, verbs: get(s.getStatus)},
		{path: []string{op, "*", "error"}, verbs: get(s.getError)},
		{path: []string{op, "*", "live"}, verbs: get(s.getLive)},
		{path: []string{op, "*", "timeline"}, verbs: get(s.getTimeline)},
		{path: []string{op, "*", "story"}, verbs: get(s.getStory)},
		{path: []string{op, "*", "events"}, verbs: get(s.streamEvents), text: true},
	}
}
