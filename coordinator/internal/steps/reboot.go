package steps

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"kadeploy/coordinator/internal/cluster"
	"kadeploy/coordinator/internal/nodeset"
	"kadeploy/coordinator/internal/profile"
	"kadeploy/coordinator/internal/workflow"
	agentv1 "kadeploy/proto/agent/v1"
)

// switchPXE says what the node boots next.
type switchPXE struct{ nodes }

func (s switchPXE) do(ctx context.Context, t *workflow.Task, node string) error {
	p, err := bootProfile(t, node)
	if err != nil {
		return err
	}
	return s.Profiles.SetBootProfile(ctx, node, t.Request.ID, p)
}

func bootProfile(t *workflow.Task, node string) (profile.Profile, error) {
	r := t.Request
	switch {
	case t.Argument == workflow.ToNfsroot:
		m := t.Cluster.MiniOS
		if m.NFSKernel == "" {
			return profile.Profile{}, fmt.Errorf("cluster %s has no mini-OS with its root on NFS: give boot.kernels.nfsroot.vmlinuz", t.Cluster.Name)
		}
		return profile.Profile{Kind: profile.MiniOS, Kernel: m.NFSKernel, Params: m.NFSParams}, nil
	case t.Argument == workflow.ToDeploy:
		m := t.Cluster.MiniOS
		return profile.Profile{Kind: profile.MiniOS, Kernel: m.Kernel, Initrd: m.Initrd, Params: m.Params}, nil
	case t.Argument == workflow.ToCustom, t.Argument == workflow.ToLocal && r.PXEProfile != "":
		return profile.Profile{Kind: profile.Custom, Script: r.PXEProfile, Singularity: r.PXESingularities[node], User: r.User, VLAN: r.VLANAddrs[node]}, nil
	case t.Argument == workflow.ToLocal:
		return profile.Profile{Kind: profile.Local, Partition: int(chained(t)), System: deployedSystem(t), VLAN: r.VLANAddrs[node]}, nil
	}
	return profile.Profile{}, fmt.Errorf("boot profile %q is not one that this coordinator serves: deploy or local", t.Argument)
}

// chained is the partition whose boot record is started: -c, else that of the system.
func chained(t *workflow.Task) uint32 {
	if t.Request.BootPart != "" {
		return bootPartition(t)
	}
	return rootTarget(t).Partition
}

// deployedSystem is what stands on the disk after a deployment; of a node that is
// only rebooted, just which disk it is.
func deployedSystem(t *workflow.Task) profile.System {
	s := profile.System{Device: blockDevice(t), Root: devicePath(t, rootTarget(t))}
	if strings.HasPrefix(s.Device, "/dev/disk/") {
		s.Device = diskID(t) // a link has no number among the firmware's disks
	}
	if e := t.Request.Env; e != nil {
		s.OS, s.Kernel, s.Initrd, s.Params = e.OS, e.Boot.Kernel, e.Boot.Initrd, kernelParams(t)
		s.Hypervisor, s.HypervisorParams = e.Boot.Hypervisor, e.Boot.HypervisorParams
	}
	return s
}

// reboot cuts and restores the power of machines, or has them reset, by the
// site's commands.
type reboot struct{ nodes }

func (s reboot) Run(ctx context.Context, t *workflow.Task, report func(node string, err error)) {
	level := cluster.LevelSoft
	for i, name := range cluster.LevelNames {
		if name == t.Argument {
			level = i
		}
	}
	names := s.remaining(ctx, t, report)
	if len(names) == 0 {
		return
	}
	if err := s.leaving(ctx, t, names); err != nil {
		reportAll(names, err, report)
		return
	}
	s.Power.Reboot(ctx, t.Cluster, level, names, func(level int, names []string) {
		t.Note(3, fmt.Sprintf("Performing a %s reboot on %s", cluster.LevelNames[level], nodeset.Fold(names)))
	}, t.Begun, report)
}

// remaining are the nodes that are to be rebooted: all, unless the task is done
// again; then those that have come up since are reported as done. A node of which
// nothing is heard is rebooted once more.
func (s reboot) remaining(ctx context.Context, t *workflow.Task, report func(node string, err error)) []string {
	if !t.Again {
		return t.Nodes
	}
	places := make([]place, len(t.Nodes))
	errs := make([]error, len(t.Nodes))
	var wg sync.WaitGroup
	for i, node := range t.Nodes {
		wg.Go(func() { places[i], errs[i] = s.look(ctx, t, node) })
	}
	wg.Wait()
	var left []string
	for i, node := range t.Nodes {
		if errs[i] != nil || places[i] == gone {
			report(node, errs[i])
			continue
		}
		left = append(left, node)
	}
	return left
}

// rebootFromDeployEnv has the mini-OS reboot by itself.
type rebootFromDeployEnv struct{ nodes }

func (s rebootFromDeployEnv) do(ctx context.Context, t *workflow.Task, node string) error {
	return s.leave(ctx, t, node, func(ctx context.Context, agent agentv1.AgentClient) error {
		_, err := agent.Reboot(ctx, &agentv1.RebootRequest{})
		return err
	})
}

// power switches machines on or off, or asks whether they are on.
type power struct{ nodes }

func (s power) Run(ctx context.Context, t *workflow.Task, report func(node string, err error)) {
	var mu sync.Mutex
	answers := make(map[string]string)
	s.Power.Switch(ctx, t.Cluster, t.Argument, t.Request.Level, t.Nodes, t.Begun, func(node, output string, err error) {
		mu.Lock()
		defer mu.Unlock()
		if t.Output != nil {
			t.Output(node, "power "+t.Argument, output, "", exitOf(err))
		}
		if err == nil {
			answers[node] = strings.TrimSpace(output)
		}
		report(node, err)
	})
	if t.Argument == "status" {
		noteStatus(t, answers)
	}
}

// noteStatus shows what the site's command answered for each node (contract 1.5).
func noteStatus(t *workflow.Task, answers map[string]string) {
	t.Note(0, "---")
	for _, node := range t.Nodes {
		if answer, ok := answers[node]; ok {
			t.Note(0, node+": "+answer)
		}
	}
	t.Note(0, "---")
}

func exitOf(err error) int {
	if err != nil {
		return 1
	}
	return 0
}
