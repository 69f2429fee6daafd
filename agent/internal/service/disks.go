package service

import (
	"context"

	"kadeploy/agent/internal/disk"
	"kadeploy/agent/internal/inventory"
	"kadeploy/agent/internal/rootfs"
	agentv1 "kadeploy/proto/agent/v1"
)

func (s *Service) host() *disk.Host { return &disk.Host{Log: s.log} }

// target is a Target of the protocol in the words of package disk.
func target(t *agentv1.Target) disk.Target {
	return disk.Target{Disk: t.GetDisk(), Partition: int(t.GetPartition()), Label: t.GetLabel()}
}

// Describe implements agentv1.AgentServer.
func (s *Service) Describe(context.Context, *agentv1.DescribeRequest) (*agentv1.DescribeReply, error) {
	m, err := inventory.Read()
	if err != nil {
		return nil, statusOf(err)
	}
	reply := &agentv1.DescribeReply{
		Hostname: m.Hostname, AgentVersion: s.cfg.Version, KernelRelease: m.Kernel, BootId: m.BootID,
		Firmware: agentv1.Firmware_FIRMWARE_BIOS, Cpus: uint32(m.CPUs), MemoryBytes: m.Memory, MemoryFreeBytes: m.MemoryFree,
	}
	if m.UEFI {
		reply.Firmware = agentv1.Firmware_FIRMWARE_UEFI
	}
	for _, i := range m.Interfaces {
		reply.Interfaces = append(reply.Interfaces, &agentv1.Interface{Name: i.Name, Mac: i.MAC, Addresses: i.Addresses, Up: i.Up})
	}
	host := s.host()
	disks, err := host.Disks()
	if err != nil {
		return nil, statusOf(err)
	}
	for _, d := range disks {
		mounted, err := host.Mounted(d)
		if err != nil {
			return nil, statusOf(err)
		}
		reply.Disks = append(reply.Disks, &agentv1.Disk{
			Path: d.Path, SizeBytes: d.Size, Model: d.Model, Serial: d.Serial, Wwn: d.WWN,
			Rotational: d.Rotational, Links: host.Links(d.Path), Mounted: mounted,
		})
	}
	return reply, nil
}

// Partition implements agentv1.AgentServer.
func (s *Service) Partition(ctx context.Context, r *agentv1.PartitionRequest) (*agentv1.PartitionReply, error) {
	plan := disk.Plan{
		Disk: disk.Target{Disk: r.Disk}, DiskID: r.DiskId,
		ExpectSize: r.ExpectSizeBytes, ExpectSerial: r.ExpectSerial,
	}
	for _, p := range r.Layout {
		plan.Layout = append(plan.Layout, disk.Spec{Number: int(p.Number), Label: p.Label, Size: p.SizeBytes, Type: p.Type})
	}
	made, err := s.host().Partition(ctx, plan)
	if err != nil {
		return nil, statusOf(err)
	}
	reply := &agentv1.PartitionReply{}
	for _, m := range made {
		reply.Partitions = append(reply.Partitions, &agentv1.Partition{
			Number: uint32(m.Number), Label: m.Label, Path: m.Path, StartBytes: m.Start, SizeBytes: m.Size, Partuuid: m.UUID,
		})
	}
	return reply, nil
}

// Format implements agentv1.AgentServer.
func (s *Service) Format(ctx context.Context, r *agentv1.FormatRequest) (*agentv1.FormatReply, error) {
	device, signature, err := s.host().Format(ctx, disk.Format{
		Target: target(r.Target), Filesystem: r.Filesystem, Arguments: disk.Words(r.Arguments), Label: r.Label,
	})
	if err != nil {
		return nil, statusOf(err)
	}
	return &agentv1.FormatReply{Path: device.Path, Uuid: signature.UUID}, nil
}

// Mount implements agentv1.AgentServer.
func (s *Service) Mount(_ context.Context, r *agentv1.MountRequest) (*agentv1.MountReply, error) {
	device, err := s.host().Resolve(target(r.Target))
	if err != nil {
		return nil, statusOf(err)
	}
	filesystem := r.Filesystem
	if filesystem == "" {
		signature, err := disk.Probe(device.Path)
		if err != nil {
			return nil, statusOf(err)
		}
		filesystem = signature.Type
	}
	m := rootfs.Mount{Source: device.Path, Point: r.MountPoint, Filesystem: filesystem, Options: r.Options}
	if err := m.Do(); err != nil {
		return nil, statusOf(err)
	}
	return &agentv1.MountReply{Path: device.Path}, nil
}

// Unmount implements agentv1.AgentServer.
func (s *Service) Unmount(ctx context.Context, r *agentv1.UnmountRequest) (*agentv1.UnmountReply, error) {
	if err := rootfs.Unmount(ctx, r.MountPoint); err != nil {
		return nil, statusOf(err)
	}
	return &agentv1.UnmountReply{}, nil
}
