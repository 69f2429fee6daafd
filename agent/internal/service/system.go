package service

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"kadeploy/agent/internal/bootloader"
	"kadeploy/agent/internal/disk"
	"kadeploy/agent/internal/fault"
	"kadeploy/agent/internal/inventory"
	"kadeploy/agent/internal/kexec"
	"kadeploy/agent/internal/keys"
	"kadeploy/agent/internal/rootfs"
	agentv1 "kadeploy/proto/agent/v1"
)

// InstallKeys implements agentv1.AgentServer.
func (s *Service) InstallKeys(_ context.Context, r *agentv1.InstallKeysRequest) (*agentv1.InstallKeysReply, error) {
	if err := keys.Install(r.Root, r.Keys, r.Replace); err != nil {
		return nil, statusOf(err)
	}
	return &agentv1.InstallKeysReply{}, nil
}

// CheckKernel implements agentv1.AgentServer.
func (s *Service) CheckKernel(_ context.Context, r *agentv1.CheckKernelRequest) (*agentv1.CheckKernelReply, error) {
	found, err := kexec.Kernel{Root: r.Root, Kernel: r.Kernel, Initrd: r.Initrd}.Find()
	if err != nil {
		return nil, statusOf(err)
	}
	return &agentv1.CheckKernelReply{Kernel: found.Kernel, Initrd: found.Initrd}, nil
}

// InstallBootloader implements agentv1.AgentServer.
func (s *Service) InstallBootloader(r *agentv1.InstallBootloaderRequest, stream agentv1.Agent_InstallBootloaderServer) error {
	out := &replies{stream: stream}
	install, err := s.install(stream.Context(), r)
	if err != nil {
		return statusOf(err)
	}
	install.Output = out.stdout()
	return out.exit(install.Run(stream.Context()))
}

func (s *Service) install(ctx context.Context, r *agentv1.InstallBootloaderRequest) (bootloader.Install, error) {
	host := s.host()
	whole, err := host.Resolve(target(r.Disk))
	if err != nil {
		return bootloader.Install{}, err
	}
	root, err := s.rootDevice(ctx, r.RootTarget)
	if err != nil {
		return bootloader.Install{}, err
	}
	in := bootloader.Install{
		Root: r.Root, Disk: whole.Path, UEFI: inventory.UEFI(),
		RootDevice: root.path, RootUUID: root.uuid, SharedUUID: root.shared, RootLabel: root.label, RootPartUUID: root.partUUID,
		Kernel: r.Kernel, Initrd: r.Initrd, Params: r.KernelParams, Variables: r.Environment,
		Hypervisor: r.Hypervisor, HypervisorParams: r.HypervisorParams,
		UUID: func(device string) string {
			signature, _ := disk.Probe(device) // what cannot be read has no UUID
			return signature.UUID
		},
	}
	if in.UEFI {
		in.ESP, in.ESPNumber, err = s.esp(ctx, whole.Disk)
	}
	return in, err
}

// Kexec implements agentv1.AgentServer.
func (s *Service) Kexec(ctx context.Context, r *agentv1.KexecRequest) (*agentv1.KexecReply, error) {
	s.kept.drop()
	line := r.CommandLine
	if r.RootTarget != nil {
		root, err := s.rootDevice(ctx, r.RootTarget)
		if err != nil {
			return nil, statusOf(err)
		}
		line = kexec.WithRoot(line, root.argument(r.Initrd != ""))
	}
	begin := time.Now()
	if err := (kexec.Kernel{Root: r.Root, Kernel: r.Kernel, Initrd: r.Initrd, CommandLine: line}).Load(ctx); err != nil {
		return nil, statusOf(err)
	}
	loaded := time.Now()
	if err := rootfs.Unmount(ctx, r.Root); err != nil {
		return nil, statusOf(err)
	}
	s.log.Info("jumping into the deployed system", "command line", line,
		"load", loaded.Sub(begin).Round(time.Millisecond), "unmount", time.Since(loaded).Round(time.Millisecond))
	s.leaveSoon(Jump)
	return &agentv1.KexecReply{CommandLine: line}, nil
}

// Reboot implements agentv1.AgentServer.
func (s *Service) Reboot(_ context.Context, r *agentv1.RebootRequest) (*agentv1.RebootReply, error) {
	s.kept.drop()
	way := Restart
	if r.PowerOff {
		way = PowerOff
	}
	s.log.Info("leaving the mini-OS", "way", way.String())
	s.leaveSoon(way)
	return &agentv1.RebootReply{}, nil
}

// leaveSoon ends the system when the answer had time to go out.
func (s *Service) leaveSoon(way Departure) {
	leave := s.cfg.Leave
	if leave == nil {
		leave = depart
	}
	time.AfterFunc(departureDelay, func() {
		if err := leave(way); err != nil {
			s.log.Error("the system could not be left", "way", way.String(), "error", err)
		}
	})
}

// depart ends the running system. The disks' file systems are unmounted, or at
// least written, by then.
func depart(way Departure) error {
	unix.Sync()
	if way == Jump && !kexec.Loaded() {
		return fault.Preconditionf("jump: no kernel is loaded")
	}
	command := map[Departure]int{
		Jump: unix.LINUX_REBOOT_CMD_KEXEC, Restart: unix.LINUX_REBOOT_CMD_RESTART, PowerOff: unix.LINUX_REBOOT_CMD_POWER_OFF,
	}[way]
	if err := unix.Reboot(command); err != nil {
		return fmt.Errorf("%s: %w", way, err)
	}
	return nil
}
