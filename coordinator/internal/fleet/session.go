package fleet

import (
	"context"

	agentv1 "kadeploy/proto/agent/v1"
)

// Session waits until the node has a session of another boot than not (any, if
// that is empty) and returns a client for it and its boot ID.
func (f *Fleet) Session(ctx context.Context, node, not string) (agentv1.AgentClient, string, error) {
	a, err := f.Await(ctx, node, func(a *Agent) bool { return not == "" || a.BootID != not })
	if err != nil {
		return nil, "", err
	}
	return a.AgentClient, a.BootID, nil
}

// BootID is that of the node's open session, empty if there is none.
func (f *Fleet) BootID(node string) string {
	if a, ok := f.Agent(node); ok && a.open() {
		return a.BootID
	}
	return ""
}

// Dismiss ends a node's session, if there is one, as the node is known to run something
// else by now. A machine that jumps into another kernel does not close its connections.
func (f *Fleet) Dismiss(node string) {
	if a, ok := f.Agent(node); ok {
		f.drop(a)
		a.Close()
	}
}
