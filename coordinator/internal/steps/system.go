package steps

import (
	"bytes"
	"context"
	"slices"
	"strings"

	"kadeploy/coordinator/internal/workflow"
	agentv1 "kadeploy/proto/agent/v1"
)

// installKeys adds the user's keys to those that open a root shell on the mini-OS
// or on the deployed system.
type installKeys struct {
	nodes
	root string
}

func (s installKeys) do(ctx context.Context, t *workflow.Task, node string) error {
	keys := t.Request.Keys
	if t.Micro == workflow.SendKey && t.Request.BecomesTrusted(t.Cluster) {
		// The site's own key opens the way to the next deployment without firmware.
		keys = append(append(slices.Clone(keys), '\n'), s.DeploymentKey...)
	}
	if len(bytes.TrimSpace(keys)) == 0 {
		return nil
	}
	return s.call(ctx, node, func(ctx context.Context, agent agentv1.AgentClient) error {
		_, err := agent.InstallKeys(ctx, &agentv1.InstallKeysRequest{Root: s.root, Keys: keys})
		return err
	})
}

// checkKernelFiles checks that what is to be booted is there.
type checkKernelFiles struct{ nodes }

func (s checkKernelFiles) do(ctx context.Context, t *workflow.Task, node string) error {
	return s.call(ctx, node, func(ctx context.Context, agent agentv1.AgentClient) error {
		boot := t.Request.Env.Boot
		_, err := agent.CheckKernel(ctx, &agentv1.CheckKernelRequest{Root: s.ExtractionDir, Kernel: boot.Kernel, Initrd: boot.Initrd})
		return err
	})
}

// installBootloader runs the site's script, or has the agent install grub.
type installBootloader struct{ nodes }

func (s installBootloader) do(ctx context.Context, t *workflow.Task, node string) error {
	boot := t.Request.Env.Boot
	environment := s.variables(t)
	for name, value := range custom(t) {
		if strings.HasPrefix(name, "BOOTLOADER_") {
			environment[name] = value // under its own name too
		}
	}
	if len(t.Cluster.Bootloader) > 0 {
		request := s.script(t, t.Cluster.Bootloader)
		request.Environment = environment
		return s.run(ctx, t, node, "boot loader script", request)
	}
	return s.output(t, node, "install the boot loader", func() (runStream, error) {
		agent, err := s.session(ctx, node)
		if err != nil {
			return nil, err
		}
		if err := locate(ctx, t, agent, environment); err != nil {
			return nil, err
		}
		return agent.InstallBootloader(ctx, &agentv1.InstallBootloaderRequest{
			Root:       s.ExtractionDir,
			Disk:       deployedDisk(t),
			RootTarget: rootTarget(t),
			Kernel:     boot.Kernel, Initrd: boot.Initrd, KernelParams: kernelParams(t),
			Hypervisor: boot.Hypervisor, HypervisorParams: boot.HypervisorParams,
			Environment: environment,
		})
	})
}

// kexec jumps into the system that was deployed, or from one that runs into the mini-OS.
type kexec struct{ nodes }

func (s kexec) do(ctx context.Context, t *workflow.Task, node string) error {
	if t.Argument == workflow.ToDeploy {
		return s.intoMiniOS(ctx, t, node)
	}
	boot := t.Request.Env.Boot
	return s.leave(ctx, t, node, func(ctx context.Context, agent agentv1.AgentClient) error {
		if err := s.beforeKexec(ctx, t, node); err != nil {
			return err
		}
		if len(t.Cluster.Loading.Script) > 0 {
			return s.byScript(ctx, t, node)
		}
		_, err := agent.Kexec(ctx, &agentv1.KexecRequest{
			Root: s.ExtractionDir, Kernel: boot.Kernel, Initrd: boot.Initrd,
			CommandLine: kernelParams(t), RootTarget: rootTarget(t),
		})
		return err
	})
}
