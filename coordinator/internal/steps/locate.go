package steps

import (
	"context"
	"strings"

	"kadeploy/coordinator/internal/workflow"
	agentv1 "kadeploy/proto/agent/v1"
)

// locate puts the devices of a node into the variables of a script: which device a
// disk id is, only the node knows.
func locate(ctx context.Context, t *workflow.Task, agent agentv1.AgentClient, variables map[string]string) error {
	const device, part = "KADEPLOY_BLOCK_DEVICE", "KADEPLOY_DEPLOY_PART"
	if id := variables[device]; id == "" || strings.HasPrefix(id, "/") {
		return nil
	}
	reply, err := agent.Locate(ctx, &agentv1.LocateRequest{Targets: []*agentv1.Target{deployedDisk(t)}})
	if err != nil {
		return err
	}
	variables[device] = reply.Paths[0]
	if strings.HasPrefix(variables[part], "/") {
		return nil
	}
	variables[part] = reply.Paths[0]
	if number := deployTarget(t).Partition; number > 0 {
		variables[part] = partitionPath(reply.Paths[0], number)
	}
	return nil
}
