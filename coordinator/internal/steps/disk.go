package steps

import (
	"context"
	"fmt"
	"strings"

	"kadeploy/coordinator/internal/layout"
	"kadeploy/coordinator/internal/workflow"
	agentv1 "kadeploy/proto/agent/v1"
)

// createPartitionTable makes the environment's layout, or what the cluster has: the
// site's partitioning script, a layout, or the built-in scheme.
type createPartitionTable struct{ nodes }

func (s createPartitionTable) do(ctx context.Context, t *workflow.Task, node string) error {
	// A deployment that was stopped at a breakpoint has left the disk in use.
	free := umountDeployPart(s)
	if script := t.Cluster.Partitioning.Script; len(script) > 0 && !t.Request.OwnLayout() {
		if err := free.do(ctx, t, node); err != nil {
			return err
		}
		if err := s.verify(ctx, t, node); err != nil {
			return err
		}
		return s.run(ctx, t, node, "partitioning script", s.script(t, script))
	}
	partition := func() error {
		return s.call(ctx, node, func(ctx context.Context, agent agentv1.AgentClient) error {
			_, err := agent.Partition(ctx, partitioning(t))
			return err
		})
	}
	err := partition()
	if err != nil && ctx.Err() == nil && free.do(ctx, t, node) == nil {
		err = partition()
	}
	return err
}

// verify refuses a node whose disk is not the one that the site knows, before a
// script that cannot know is let loose on it.
func (n nodes) verify(ctx context.Context, t *workflow.Task, node string) error {
	disk := deployedDisk(t)
	if disk.Identity == nil {
		return nil
	}
	return n.call(ctx, node, func(ctx context.Context, agent agentv1.AgentClient) error {
		_, err := agent.Locate(ctx, &agentv1.LocateRequest{Targets: []*agentv1.Target{disk}})
		return err
	})
}

// partitioning is the layout, by disks. One without partitions is the agent's built-in scheme.
func partitioning(t *workflow.Task) *agentv1.PartitionRequest {
	parts := t.Request.Layout(t.Cluster)
	disk := deployedDisk(t)
	request := &agentv1.PartitionRequest{Disk: disk.Disk, DiskId: diskID(t), Identity: disk.Identity, Layout: specs(layout.On(parts, ""))}
	for _, name := range layout.Disks(parts) {
		if name != "" {
			disk := onDisk(t, name)
			request.Others = append(request.Others, &agentv1.DiskLayout{
				Disk: disk.Disk, DiskId: idOf(t, name), Identity: disk.Identity, Layout: specs(layout.On(parts, name)),
			})
		}
	}
	return request
}

func specs(parts []layout.Part) []*agentv1.PartitionSpec {
	var specs []*agentv1.PartitionSpec
	for _, p := range parts {
		specs = append(specs, &agentv1.PartitionSpec{
			Number: partitionNumber(p.Number), Label: p.Label, SizeBytes: p.Size.Bytes, Share: p.Size.Percent, Type: p.Type,
		})
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

// format makes the file systems that plan says; none means that the cluster lacks the partition.
type format struct {
	nodes
	plan func(t *workflow.Task) []fileSystem
}

// fileSystem is one to make.
type fileSystem struct {
	target    *agentv1.Target
	kind      string
	arguments string // of mkfs, beside the site's
}

// deployFormat is the environment's file system, and all others of the layout but
// swap. Where the partitions stay as they are, what the environment does not mount
// stays, too: it may hold data.
func deployFormat(t *workflow.Task) []fileSystem {
	place := t.Request.Place(t.Cluster)
	root := fileSystem{target: deployTarget(t), kind: t.Request.Env.Filesystem}
	list := []fileSystem{}
	for _, p := range t.Request.Layout(t.Cluster) {
		switch {
		case place.Is(p):
			root.arguments = p.Mkfs
		case p.Mount == layout.Root, p.Filesystem == "", p.Filesystem == layout.Swap, t.Request.NoPartition && p.Mount == "":
		case p.Label == "TMP" && t.Request.ReformatTmp != "" && t.Request.ReformatTmp != p.Filesystem:
			list = append(list, fileSystem{partTarget(t, p), t.Request.ReformatTmp, ""})
		default:
			list = append(list, fileSystem{partTarget(t, p), p.Filesystem, p.Mkfs})
		}
	}
	return append([]fileSystem{root}, list...)
}

func tmpFormat(t *workflow.Task) []fileSystem {
	return onePartition(t, t.Cluster.Partitioning.Tmp, t.Request.ReformatTmp)
}

func swapFormat(t *workflow.Task) []fileSystem {
	var list []fileSystem
	for _, p := range workflow.SwapParts(t.Request.Layout(t.Cluster)) {
		list = append(list, fileSystem{partTarget(t, p), layout.Swap, p.Mkfs})
	}
	if list == nil {
		list = onePartition(t, t.Cluster.Partitioning.Swap, layout.Swap)
	}
	return list
}

func onePartition(t *workflow.Task, number int, kind string) []fileSystem {
	target, ok := numbered(t, number)
	if !ok {
		return nil
	}
	return []fileSystem{{target: target, kind: kind}}
}

func (s format) do(ctx context.Context, t *workflow.Task, node string) error {
	list := s.plan(t)
	if len(list) == 0 {
		return fmt.Errorf("cluster %s has no partition for it: give its number in partitioning.partitions", t.Cluster.Name)
	}
	if script := t.Cluster.Partitioning.Format; len(script) > 0 && t.Micro == workflow.FormatDeployPart {
		if err := s.run(ctx, t, node, "formatting script", s.script(t, script)); err != nil {
			return err
		}
		list = list[1:] // the script made what is deployed on
	}
	for _, f := range list {
		if err := s.call(ctx, node, func(ctx context.Context, agent agentv1.AgentClient) error {
			_, err := agent.Format(ctx, &agentv1.FormatRequest{
				Target: f.target, Filesystem: f.kind, Arguments: strings.TrimSpace(s.MkfsArguments[f.kind] + " " + f.arguments),
			})
			return err
		}); err != nil {
			return err
		}
	}
	return nil
}

// mountDeployPart mounts the partition that is deployed on, and inside of it the
// other file systems of the layout: what is extracted later comes to lie on them.
type mountDeployPart struct{ nodes }

func (s mountDeployPart) do(ctx context.Context, t *workflow.Task, node string) error {
	request := &agentv1.MountRequest{
		Target: rootTarget(t), MountPoint: s.ExtractionDir, Filesystem: t.Request.Env.Filesystem,
	}
	for _, p := range t.Request.Inner(t.Cluster) {
		request.Inner = append(request.Inner, &agentv1.InnerMount{
			Target: partTarget(t, p), Path: p.Mount, Filesystem: mountedAs(t, p), Options: kernelOptions(p.Options),
		})
	}
	return s.call(ctx, node, func(ctx context.Context, agent agentv1.AgentClient) error {
		_, err := agent.Mount(ctx, request)
		return err
	})
}

func mountedAs(t *workflow.Task, p layout.Part) string {
	if p.Label == "TMP" && t.Request.ReformatTmp != "" {
		return t.Request.ReformatTmp
	}
	return p.Filesystem
}

// kernelOptions are those of fstab that the kernel knows: the others are for the
// programs that read it. What would forbid to extract is left out, too.
func kernelOptions(options string) string {
	var list []string
	for o := range strings.SplitSeq(options, ",") {
		switch {
		case o == "nofail", o == "auto", o == "noauto", o == "user", o == "nouser", o == "_netdev", o == "ro", o == "defaults",
			strings.HasPrefix(o, "x-"), strings.HasPrefix(o, "comment="), o == "":
		default:
			list = append(list, o)
		}
	}
	return strings.Join(list, ",")
}

// umountDeployPart flushes and unmounts it.
type umountDeployPart struct{ nodes }

func (s umountDeployPart) do(ctx context.Context, _ *workflow.Task, node string) error {
	return s.call(ctx, node, func(ctx context.Context, agent agentv1.AgentClient) error {
		_, err := agent.Unmount(ctx, &agentv1.UnmountRequest{MountPoint: s.ExtractionDir})
		return err
	})
}

// syncDisk completes the deployed system's fstab, and writes to the disk what scripts have changed since the image was received,
// or what the previous system has not written yet.
type syncDisk struct{ nodes }

func (s syncDisk) do(ctx context.Context, t *workflow.Task, node string) error {
	if t.Argument == workflow.ToDeploy && t.Request.Env != nil && t.Request.Env.Image.Kind == "tar" && t.Request.Env.OS != "other" {
		if err := s.completeFstab(ctx, t, node); err != nil {
			return err
		}
	}
	_, err := s.execute(ctx, t, node, "sync", "sync", nil) // there is no agent if the previous system runs
	return err
}

// completeFstab adds what is mounted, and swap space, where the image and the
// postinstalls have not, and tells of names in it that several devices have.
func (n nodes) completeFstab(ctx context.Context, t *workflow.Task, node string) error {
	request := &agentv1.CompleteFstabRequest{Root: n.ExtractionDir, KernelParams: kernelParams(t)}
	for _, p := range t.Request.Layout(t.Cluster) {
		switch {
		case p.Mount != "":
			request.Entries = append(request.Entries, &agentv1.FstabEntry{MountPoint: p.Mount, Options: p.Options})
		case p.Filesystem == layout.Swap && (!t.Cluster.Partitioning.DisableSwap || t.Request.OwnLayout()):
			request.Entries = append(request.Entries, &agentv1.FstabEntry{Target: partTarget(t, p)})
		}
	}
	return n.call(ctx, node, func(ctx context.Context, agent agentv1.AgentClient) error {
		reply, err := agent.CompleteFstab(ctx, request)
		for _, doubt := range reply.GetDoubts() {
			t.Note(2, "Warning: "+node+": "+doubt)
		}
		return err
	})
}
