package steps

import (
	"context"
	"fmt"
	"strings"
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
	if !t.Again {
		if err := sleep(ctx, t.Cluster.SleepPing); err != nil {
			return err
		}
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
	left, err := s.Boots.LeftBoot(ctx, node)
	if err != nil {
		return err
	}
	if _, _, err := s.Agents.Session(ctx, node, left.Boot); err != nil {
		return err
	}
	s.loadDrivers(ctx, t, node)
	return nil
}

// loadDrivers loads the kernel modules that the site wants in the mini-OS, such as
// that of the disks. Lists of old name modules that are gone: the step that needs
// one fails, if any does.
func (s waitReboot) loadDrivers(ctx context.Context, t *workflow.Task, node string) {
	drivers := t.Cluster.MiniOS.Drivers
	if len(drivers) == 0 {
		return
	}
	err := s.run(ctx, t, node, "load the drivers of the site", &agentv1.RunRequest{
		What: &agentv1.RunRequest_Command{Command: "modprobe -a " + strings.Join(drivers, " ") + " && udevadm settle"},
	})
	if err != nil {
		t.Note(3, fmt.Sprintf("%s: %v", node, err))
	}
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
