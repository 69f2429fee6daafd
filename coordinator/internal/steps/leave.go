package steps

import (
	"context"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"kadeploy/coordinator/internal/workflow"
	agentv1 "kadeploy/proto/agent/v1"
)

// Whoever looks after a node when the coordinator has just come back waits so long
// for its agent to dial, and for an answer of its system.
const (
	lookTime  = 10 * time.Second
	probeTime = 3 * time.Second
)

// leaving notes in which boot nodes are, before they are told to leave it: so that
// an agent that has not gone yet is not taken for the new one, and so that whoever
// has to tell them again, as the coordinator died, knows whether they have gone.
func (n nodes) leaving(ctx context.Context, t *workflow.Task, names []string) error {
	boots := make(map[string]string, len(names))
	for _, node := range names {
		boots[node] = n.Agents.BootID(node)
	}
	return n.Boots.LeaveBoots(ctx, t.ID, boots)
}

// place is where a node is that a task may have told to leave its boot.
type place int

const (
	untold  place = iota // the task has not come to it
	stays                // its agent is that of the boot that it was to leave
	unknown              // nothing is heard of it
	gone                 // it is in another boot, or has asked for the mini-OS since
)

// look finds out whether a node has left the boot that it was in when the task told
// it to. The agents of nodes that stay up have lookTime to dial.
func (n nodes) look(ctx context.Context, t *workflow.Task, node string) (place, error) {
	left, err := n.Boots.LeftBoot(ctx, node)
	switch {
	case err != nil:
		return untold, err
	case left.Task != t.ID:
		return untold, nil
	case !left.Asked.IsZero():
		return gone, nil
	}
	limit, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	_, boot, err := n.Agents.Session(limit, node, "")
	switch {
	case err == nil && boot == left.Boot:
		return stays, nil
	case err == nil, left.Boot != "" && n.answers(ctx, t, node):
		return gone, nil
	}
	return unknown, ctx.Err()
}

// answers tells whether the system on the node's disk is up.
func (n nodes) answers(ctx context.Context, t *workflow.Task, node string) bool {
	address, err := waitReboot{n}.address(t, node)
	if err != nil {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	return n.Prober.UserSystem(ctx, address) == nil
}

// leave asks a node for what ends its session: a lost session is no failure then,
// and asking again would be wrong. Whether the node comes back is for wait_reboot to
// find out. A task that is done again asks only a node that is still where it was.
func (n nodes) leave(ctx context.Context, t *workflow.Task, node string, do func(ctx context.Context, agent agentv1.AgentClient) error) error {
	if t.Again {
		if at, err := n.look(ctx, t, node); err != nil || at == gone || at == unknown {
			return err
		}
	}
	agent, err := n.session(ctx, node)
	if err != nil {
		return err
	}
	if err := n.leaving(ctx, t, []string{node}); err != nil {
		return err
	}
	if err := do(ctx, agent); status.Code(err) != codes.Unavailable {
		return plain(err)
	}
	return nil
}
