package steps

import (
	"context"
	"strings"
	"sync"
	"time"

	"kadeploy/coordinator/internal/workflow"
	agentv1 "kadeploy/proto/agent/v1"
)

// waitReboot waits until a node answers as what it should have become.
type waitReboot struct{ nodes }

func (s waitReboot) do(ctx context.Context, t *workflow.Task, node string) error {
	address, err := s.address(t, node)
	if err != nil {
		return err
	}
	if err := sleep(ctx, t.Cluster.SleepPing); err != nil {
		return err
	}
	if !strings.HasPrefix(t.Argument, "deploy") {
		if err := s.Prober.UserSystem(ctx, address); err != nil {
			return err
		}
		s.Agents.Dismiss(node)
		return nil
	}
	if err := s.Prober.MiniOS(ctx, address); err != nil {
		return err
	}
	_, boot, err := s.Agents.Session(ctx, node, s.boots.last(node))
	if err != nil {
		return err
	}
	s.boots.set(node, boot)
	return s.loadDrivers(ctx, t, node)
}

// loadDrivers loads the kernel modules that the site wants in the mini-OS, such as that of the disks.
func (s waitReboot) loadDrivers(ctx context.Context, t *workflow.Task, node string) error {
	drivers := t.Cluster.MiniOS.Drivers
	if len(drivers) == 0 {
		return nil
	}
	return s.run(ctx, t, node, "load the drivers of the site", &agentv1.RunRequest{
		What: &agentv1.RunRequest_Command{Command: "modprobe -a " + strings.Join(drivers, " ") + " && udevadm settle"},
	})
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// boots remembers which boot of the mini-OS each node was in when it was told to
// reboot, so that an agent that has not gone yet is not taken for the new one.
type boots struct {
	mu sync.Mutex
	id map[string]string
}

func newBoots() *boots { return &boots{id: make(map[string]string)} }

func (b *boots) remember(agents Agents, nodes []string) {
	for _, node := range nodes {
		b.set(node, agents.BootID(node))
	}
}

func (b *boots) set(node, id string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.id[node] = id
}

func (b *boots) last(node string) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.id[node]
}
