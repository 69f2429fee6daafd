package engine

import (
	"context"
	"time"

	"kadeploy/coordinator/internal/workflow"
)

// dummy is the micro-step of the Dummy instances: it takes a moment and does
// nothing, so that a workflow can be tried without touching a machine.
type dummy struct{}

func (dummy) Run(ctx context.Context, t *workflow.Task, report func(node string, err error)) {
	wait := time.NewTimer(200 * time.Millisecond)
	defer wait.Stop()
	var err error
	select {
	case <-wait.C:
	case <-ctx.Done():
		err = ctx.Err()
	}
	for _, node := range t.Nodes {
		report(node, err)
	}
}
