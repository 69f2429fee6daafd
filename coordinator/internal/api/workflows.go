package api

import (
	"fmt"
	"math"
	"net/http"
	"net/url"
	"strings"

	"kadeploy/coordinator/internal/apperr"
	"kadeploy/coordinator/internal/workflow"
)

func escape(part string) string { return url.QueryEscape(part) }

// view finds the workflow that a path names.
func (s *server) view(c *call, kind workflow.Kind) (workflow.View, error) {
	v, ok := s.Workflows.View(c.args[0])
	if !ok || v.Kind != kind {
		return workflow.View{}, apperr.New(apperr.InvalidWorkflowID, "there is no %s %s (any more)", kind, c.args[0])
	}
	return v, nil
}

// ownView is view for what only the owner of the workflow and administrators may do.
func (s *server) ownView(c *call, kind workflow.Kind) (workflow.View, error) {
	v, err := s.view(c, kind)
	if err == nil && !owns(c, v) {
		err = apperr.Forbidden("%s belongs to user %s", v.ID, v.User)
	}
	return v, err
}

func owns(c *call, v workflow.View) bool { return c.caller.Admin || c.caller.User == v.User }

// describe is a workflow as its callers see it (contract 7.6).
func describe(c *call, v workflow.View) map[string]any {
	out := map[string]any{
		"wid":        v.ID,
		"user":       v.User,
		"done":       v.Done || v.Failure != nil,
		"error":      v.Failure != nil,
		"start_time": v.Started.Unix(),
	}
	if !owns(c, v) {
		out["nodes"] = list(v.Nodes)
		return out
	}
	out["time"] = math.Round(v.Elapsed.Seconds()*100) / 100
	if v.EnvName != "" {
		out["environment"] = map[string]any{"id": v.EnvID, "user": v.EnvUser, "name": v.EnvName, "version": v.EnvVer}
	}
	if v.Failure != nil {
		return out
	}
	out["logs"] = v.Logs
	if v.Debug {
		out["debugs"] = true
	}
	nodes := map[string]any{"ok": list(v.OK), "ko": list(v.KO)}
	if !v.Done {
		nodes["processing"] = list(v.Processing)
	}
	out["nodes"] = nodes
	return out
}

// list is never null in an answer.
func list[T any](items []T) []T {
	if items == nil {
		return []T{}
	}
	return items
}

func (s *server) listWorkflows(kind workflow.Kind) handler {
	return func(c *call) (any, error) {
		all := []any{}
		for _, v := range s.Workflows.Views(kind) {
			all = append(all, describe(c, v))
		}
		return all, nil
	}
}

func (s *server) getWorkflow(kind workflow.Kind) handler {
	return func(c *call) (any, error) {
		v, err := s.view(c, kind)
		if err != nil {
			return nil, err
		}
		return describe(c, v), nil
	}
}

// deleteWorkflow cancels a workflow, or drops it when it is done.
func (s *server) deleteWorkflow(kind workflow.Kind) handler {
	return func(c *call) (any, error) {
		v, err := s.ownView(c, kind)
		if code, _ := apperr.Of(err); err != nil && code == apperr.InvalidWorkflowID {
			c.w.Header().Set("Allow", http.MethodGet)
			return nil, &httpError{http.StatusMethodNotAllowed, err.Error()}
		}
		if err != nil {
			return nil, err
		}
		if v.Done {
			s.forget(v.ID)
		} else if err := s.Workflows.Cancel(v.ID, ""); err != nil {
			return nil, err
		}
		return map[string]any{"wid": v.ID}, nil
	}
}

// lines is the text form of log lines: <epoch, 5 decimals>|<line>.
func lines(all []workflow.Line) plain {
	var b strings.Builder
	for _, l := range all {
		fmt.Fprintf(&b, "%d.%05d|%s\n", l.Time.Unix(), l.Time.Nanosecond()/10000, l.Text)
	}
	return plain(b.String())
}

// takeLogs hands out the lines that nobody has read yet, of one cluster or of all.
func (s *server) takeLogs(kind workflow.Kind) handler {
	return func(c *call) (any, error) {
		v, err := s.ownView(c, kind)
		if err != nil {
			return nil, err
		}
		name := ""
		if len(c.args) > 1 {
			name = c.args[1]
			if s.cluster(name) == nil {
				return nil, apperr.NotFound("there is no cluster %s", name)
			}
		}
		return lines(s.Workflows.TakeLogs(v.ID, name)), nil
	}
}

// takeDebug is takeLogs for what the commands on the nodes printed.
func (s *server) takeDebug(kind workflow.Kind) handler {
	return func(c *call) (any, error) {
		v, err := s.ownView(c, kind)
		if err != nil {
			return nil, err
		}
		if !v.Debug {
			return nil, apperr.NotFound("%s was not started with debug", v.ID)
		}
		node := ""
		if len(c.args) > 1 {
			node = c.args[1]
		}
		return lines(s.Workflows.TakeDebug(v.ID, node)), nil
	}
}

// nodeState is a NodeState in which absence is null.
type nodeState struct {
	Macro *string `json:"macro"`
	Micro *string `json:"micro"`
	State string  `json:"state"`
	Error *string `json:"error"`
	Out   *string `json:"out,omitempty"`
}

func orNull(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func (s *server) getStates(kind workflow.Kind) handler {
	return func(c *call) (any, error) {
		v, err := s.ownView(c, kind)
		if err != nil {
			return nil, err
		}
		states, _ := s.Workflows.States(v.ID)
		out := make(map[string]nodeState, len(states))
		for node, st := range states {
			ns := nodeState{State: st.State, Out: orNull(st.Out)}
			if st.State != "ok" {
				ns.Macro, ns.Micro, ns.Error = orNull(st.Macro), orNull(st.Micro), orNull(st.Error)
			}
			out[node] = ns
		}
		return out, nil
	}
}

func (s *server) getStatus(kind workflow.Kind) handler {
	return func(c *call) (any, error) {
		v, err := s.ownView(c, kind)
		if err != nil {
			return nil, err
		}
		status, ok := s.Workflows.Status(v.ID)
		if !ok || v.Done || status == nil {
			return map[string]any{}, nil
		}
		return status, nil
	}
}

// getError answers with the error that ended the workflow, as if it were this request's.
func (s *server) getError(kind workflow.Kind) handler {
	return func(c *call) (any, error) {
		v, err := s.ownView(c, kind)
		if err != nil {
			return nil, err
		}
		if v.Failure != nil {
			return nil, v.Failure
		}
		return nil, nil
	}
}

func (s *server) getLive(kind workflow.Kind) handler {
	return func(c *call) (any, error) {
		v, err := s.ownView(c, kind)
		if err != nil {
			return nil, err
		}
		live, _ := s.Workflows.Live(v.ID)
		live.Macros, live.Failed = list(live.Macros), list(live.Failed)
		return live, nil
	}
}

func (s *server) getTimeline(kind workflow.Kind) handler {
	return func(c *call) (any, error) {
		story, err := s.story(c, kind)
		if err != nil {
			return nil, err
		}
		return list(story.Spans), nil
	}
}

func (s *server) getStory(kind workflow.Kind) handler {
	return func(c *call) (any, error) {
		story, err := s.story(c, kind)
		if err != nil {
			return nil, err
		}
		story.Spans, story.Failures = list(story.Spans), list(story.Failures)
		return story, nil
	}
}

// story is that of a workflow that runs, or is over and maybe forgotten by the engine.
func (s *server) story(c *call, kind workflow.Kind) (*workflow.Story, error) {
	id := c.args[0]
	story, ok := s.Workflows.Story(id)
	if !ok && s.Stories != nil {
		kept, err := s.Stories.Story(c.r.Context(), id)
		if err != nil {
			return nil, err
		}
		story, ok = kept, kept != nil
	}
	if !ok || story.Kind != kind {
		return nil, apperr.New(apperr.InvalidWorkflowID, "there is no %s %s, and no timeline of it is kept", kind, id)
	}
	if !c.caller.Admin && c.caller.User != story.User {
		return nil, apperr.Forbidden("%s belongs to user %s", id, story.User)
	}
	return story, nil
}
