package steps

import (
	"context"
	"fmt"

	"kadeploy/coordinator/internal/workflow"
	agentv1 "kadeploy/proto/agent/v1"
)

// createPartitionTable runs the site's partitioning script, or makes the cluster's layout or the built-in scheme.
type createPartitionTable struct{ nodes }

func (s createPartitionTable) do(ctx context.Context, t *workflow.Task, node string) error {
	if script := t.Cluster.Partitioning.Script; len(script) > 0 {
		return s.run(ctx, t, node, "partitioning script", s.script(t, script))
	}
	return s.call(ctx, node, func(ctx context.Context, agent agentv1.AgentClient) error {
		_, err := agent.Partition(ctx, &agentv1.PartitionRequest{Disk: blockDevice(t), DiskId: diskID(t), Layout: layout(t)})
		return err
	})
}

// layout is the cluster's own; empty: the agent's built-in scheme.
func layout(t *workflow.Task) []*agentv1.PartitionSpec {
	var specs []*agentv1.PartitionSpec
	for _, p := range t.Cluster.Partitioning.Layout {
		specs = append(specs, &agentv1.PartitionSpec{Number: partitionNumber(p.Number), Label: p.Label, SizeBytes: p.Size, Type: p.Type})
	}
	return specs
}

func (n nodes) script(t *workflow.Task, script []byte) *agentv1.RunRequest {
	return &agentv1.RunRequest{What: &agentv1.RunRequest_Script{Script: script}, Environment: n.variables(t)}
}

// startupScript runs what the site wants done first in the mini-OS.
type startupScript struct{ nodes }

func (s startupScript) do(ctx context.Context, t *workflow.Task, node string) error {
	if len(t.Cluster.Startup) == 0 {
		return nil
	}
	return s.run(ctx, t, node, "startup script", s.script(t, t.Cluster.Startup))
}

// format makes a file system on the partition that plan says; a nil target means that there is none to make.
type format struct {
	nodes
	plan func(t *workflow.Task) (target *agentv1.Target, filesystem, label string)
}

func deployFormat(t *workflow.Task) (*agentv1.Target, string, string) {
	return deployTarget(t), t.Request.Env.Filesystem, ""
}

func tmpFormat(t *workflow.Task) (*agentv1.Target, string, string) {
	target, _ := numbered(t, t.Cluster.Partitioning.Tmp)
	return target, t.Request.ReformatTmp, ""
}

func swapFormat(t *workflow.Task) (*agentv1.Target, string, string) {
	target, _ := numbered(t, t.Cluster.Partitioning.Swap)
	return target, "swap", ""
}

func (s format) do(ctx context.Context, t *workflow.Task, node string) error {
	target, filesystem, label := s.plan(t)
	if target == nil {
		return fmt.Errorf("cluster %s has no partition for it: give its number in partitioning.partitions", t.Cluster.Name)
	}
	if script := t.Cluster.Partitioning.Format; len(script) > 0 && t.Micro == workflow.FormatDeployPart {
		return s.run(ctx, t, node, "formatting script", s.script(t, script))
	}
	return s.call(ctx, node, func(ctx context.Context, agent agentv1.AgentClient) error {
		_, err := agent.Format(ctx, &agentv1.FormatRequest{
			Target: target, Filesystem: filesystem, Label: label, Arguments: s.MkfsArguments[filesystem],
		})
		return err
	})
}

// mountDeployPart mounts the partition that is deployed on.
type mountDeployPart struct{ nodes }

func (s mountDeployPart) do(ctx context.Context, t *workflow.Task, node string) error {
	return s.call(ctx, node, func(ctx context.Context, agent agentv1.AgentClient) error {
		_, err := agent.Mount(ctx, &agentv1.MountRequest{
			Target: rootTarget(t), MountPoint: s.ExtractionDir, Filesystem: t.Request.Env.Filesystem,
		})
		return err
	})
}

// umountDeployPart flushes and unmounts it.
type umountDeployPart struct{ nodes }

func (s umountDeployPart) do(ctx context.Context, _ *workflow.Task, node string) error {
	return s.call(ctx, node, func(ctx context.Context, agent agentv1.AgentClient) error {
		_, err := agent.Unmount(ctx, &agentv1.UnmountRequest{MountPoint: s.ExtractionDir})
		return err
	})
}

// syncDisk writes to the disk what scripts have changed since the image was received,
// or what the previous system has not written yet.
type syncDisk struct{ nodes }

func (s syncDisk) do(ctx context.Context, t *workflow.Task, node string) error {
	_, err := s.execute(ctx, t, node, "sync", "sync", nil) // there is no agent if the previous system runs
	return err
}
