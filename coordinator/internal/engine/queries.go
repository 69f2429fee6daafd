package engine

import "kadeploy/coordinator/internal/workflow"

// View is what is known of a workflow, running or finished.
func (e *Engine) View(id string) (workflow.View, bool) {
	f, ok := e.flow(id)
	if !ok {
		return workflow.View{}, false
	}
	return f.view(), true
}

// Views lists the workflows of a kind by their start; of all kinds if kind is empty.
func (e *Engine) Views(kind workflow.Kind) []workflow.View {
	e.mu.Lock()
	list := e.sorted(kind)
	e.mu.Unlock()
	views := make([]workflow.View, 0, len(list))
	for _, f := range list {
		views = append(views, f.view())
	}
	return views
}

// Request is the order that a workflow carries out. It must not be changed.
func (e *Engine) Request(id string) (*workflow.Request, bool) {
	f, ok := e.flow(id)
	if !ok {
		return nil, false
	}
	return f.req, true
}

// States tells where each node is (contract 7.6, GET /OP/W/state).
func (e *Engine) States(id string) (map[string]workflow.NodeState, bool) {
	f, ok := e.flow(id)
	if !ok {
		return nil, false
	}
	return f.states(), true
}

// Status tells which nodes are in which step now (contract 7.6, GET /OP/W/status).
// It is empty when the workflow is finished.
func (e *Engine) Status(id string) (workflow.Status, bool) {
	f, ok := e.flow(id)
	if !ok {
		return nil, false
	}
	return f.status(), true
}

// TakeLogs returns the lines of a cluster, or of all if cluster is empty, that
// were not taken yet. Lines that belong to no cluster go to whoever asks first.
func (e *Engine) TakeLogs(id, cluster string) []workflow.Line {
	f, ok := e.flow(id)
	if !ok {
		return nil
	}
	return f.takeLogs(cluster)
}

// TakeDebug returns the debug lines of a node, or of all nodes if node is empty,
// that were not taken yet.
func (e *Engine) TakeDebug(id, node string) []workflow.Line {
	f, ok := e.flow(id)
	if !ok {
		return nil
	}
	return f.takeDebug(node)
}

// Live is the momentary picture for a progress display.
func (e *Engine) Live(id string) (workflow.Live, bool) {
	f, ok := e.flow(id)
	if !ok {
		return workflow.Live{}, false
	}
	return f.live(), true
}

// Timeline is each node's stay in each micro-step so far, by start.
func (e *Engine) Timeline(id string) ([]workflow.Span, bool) {
	f, ok := e.flow(id)
	if !ok {
		return nil, false
	}
	return f.timeline(), true
}

// Story is the timeline of a workflow so far, and what is known of its failures.
func (e *Engine) Story(id string) (*workflow.Story, bool) {
	f, ok := e.flow(id)
	if !ok {
		return nil, false
	}
	return f.story(), true
}

// Running counts the workflows of each kind that have not ended.
func (e *Engine) Running() map[workflow.Kind]int {
	counts := map[workflow.Kind]int{workflow.Deploy: 0, workflow.Reboot: 0, workflow.Power: 0}
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, f := range e.flows {
		if !f.done() {
			counts[f.req.Kind]++
		}
	}
	return counts
}
