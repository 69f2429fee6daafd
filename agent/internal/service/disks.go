package service

import (
	"context"
	"path/filepath"
	"strings"

	"kadeploy/agent/internal/disk"
	"kadeploy/agent/internal/fault"
	"kadeploy/agent/internal/fstab"
	"kadeploy/agent/internal/inventory"
	"kadeploy/agent/internal/mountinfo"
	"kadeploy/agent/internal/rootfs"
	agentv1 "kadeploy/proto/agent/v1"
)

func (s *Service) host() *disk.Host { return &disk.Host{Log: s.log} }

// target is a Target of the protocol in the words of package disk.
func target(t *agentv1.Target) disk.Target {
	return disk.Target{Disk: t.GetDisk(), Partition: int(t.GetPartition()), Label: t.GetLabel(), Identity: identity(t.GetIdentity())}
}

func identity(id *agentv1.DiskIdentity) *disk.Identity {
	if id == nil {
		return nil
	}
	return &disk.Identity{Path: id.Path, Serials: id.Serials, WWNs: id.Wwns, Size: id.SizeBytes}
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
	s.kept.drop()
	plans := []disk.Plan{{
		Disk: disk.Target{Disk: r.Disk, Identity: identity(r.Identity)}, DiskID: r.DiskId, Layout: specs(r.Layout),
		ExpectSize: r.ExpectSizeBytes, ExpectSerial: r.ExpectSerial,
	}}
	for _, o := range r.Others {
		if len(o.Layout) == 0 {
			return nil, statusOf(fault.Invalidf("partition %s: no partition of it is named", o.Disk))
		}
		plans = append(plans, disk.Plan{
			Disk: disk.Target{Disk: o.Disk, Identity: identity(o.Identity)}, DiskID: o.DiskId, Layout: specs(o.Layout),
		})
	}
	made, err := s.host().Partition(ctx, plans...)
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

func specs(layout []*agentv1.PartitionSpec) []disk.Spec {
	var list []disk.Spec
	for _, p := range layout {
		list = append(list, disk.Spec{Number: int(p.Number), Label: p.Label, Size: p.SizeBytes, Share: p.Share, Type: p.Type})
	}
	return list
}

// Locate implements agentv1.AgentServer.
func (s *Service) Locate(_ context.Context, r *agentv1.LocateRequest) (*agentv1.LocateReply, error) {
	reply := &agentv1.LocateReply{}
	for _, t := range r.Targets {
		device, err := s.host().Resolve(target(t))
		if err != nil {
			return nil, statusOf(err)
		}
		reply.Paths = append(reply.Paths, device.Path)
	}
	return reply, nil
}

// Format implements agentv1.AgentServer.
func (s *Service) Format(ctx context.Context, r *agentv1.FormatRequest) (*agentv1.FormatReply, error) {
	s.kept.drop()
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
	s.kept.drop()
	root, err := s.mount(r.Target, r.Filesystem, r.Options)
	if err != nil {
		return nil, statusOf(err)
	}
	root.Point = r.MountPoint
	var inner []rootfs.Inner
	for _, in := range r.Inner {
		m, err := s.mount(in.Target, in.Filesystem, in.Options)
		if err != nil {
			return nil, statusOf(err)
		}
		inner = append(inner, rootfs.Inner{Mount: m, Path: in.Path})
	}
	if err := rootfs.MountAll(root, inner...); err != nil {
		return nil, statusOf(err)
	}
	return &agentv1.MountReply{Path: root.Source}, nil
}

// mount finds the device of a mount, and what is on it if nobody says so.
func (s *Service) mount(t *agentv1.Target, filesystem, options string) (rootfs.Mount, error) {
	device, err := s.host().Resolve(target(t))
	if err != nil {
		return rootfs.Mount{}, err
	}
	if filesystem == "" {
		signature, err := disk.Probe(device.Path)
		if err != nil {
			return rootfs.Mount{}, err
		}
		filesystem = signature.Type
	}
	return rootfs.Mount{Source: device.Path, Filesystem: filesystem, Options: options}, nil
}

// CompleteFstab implements agentv1.AgentServer.
func (s *Service) CompleteFstab(ctx context.Context, r *agentv1.CompleteFstabRequest) (*agentv1.CompleteFstabReply, error) {
	options := map[string]string{}
	var swap []*agentv1.Target
	for _, e := range r.Entries {
		if e.MountPoint != "" {
			options[e.MountPoint] = e.Options
		} else {
			swap = append(swap, e.Target)
		}
	}
	entries, err := s.mounted(r.Root, options)
	if err != nil {
		return nil, statusOf(err)
	}
	for _, t := range swap {
		// Swap space that a site's own operation did not make needs no entry.
		if device, err := s.host().Resolve(target(t)); err == nil {
			if e, ok := entryOf(device); ok && e.Filesystem == "swap" {
				entries = append(entries, e)
			}
		}
	}
	added, err := fstab.Complete(r.Root, entries)
	if err != nil {
		return nil, statusOf(err)
	}
	doubts, err := s.doubts(ctx, r)
	if err != nil {
		return nil, statusOf(err)
	}
	return &agentv1.CompleteFstabReply{Added: added, Doubts: doubts}, nil
}

// mounted are entries for the file systems of disks that are mounted on root and
// inside of it, whoever has mounted them.
func (s *Service) mounted(root string, options map[string]string) ([]fstab.Entry, error) {
	mounts, err := mountinfo.Read()
	if err != nil {
		return nil, err
	}
	root = filepath.Clean(root)
	var entries []fstab.Entry
	for _, m := range mountinfo.Below(mounts, root) {
		if !strings.HasPrefix(m.Source, "/dev/") || m.Root != "/" {
			continue
		}
		device, err := s.host().Resolve(disk.Target{Disk: m.Source})
		if err != nil {
			continue // a volume of the site's, which has its own way of being mounted
		}
		if e, ok := entryOf(device); ok {
			e.Point = "/" + strings.TrimPrefix(strings.TrimPrefix(m.Point, root), "/")
			e.Options = options[e.Point]
			entries = append(entries, e)
		}
	}
	return entries, nil
}

// entryOf is an entry for what is on a device; false if nothing is that has a UUID.
func entryOf(device disk.Device) (fstab.Entry, bool) {
	signature, err := disk.Probe(device.Path)
	if err != nil || signature.UUID == "" {
		return fstab.Entry{}, false
	}
	e := fstab.Entry{UUID: signature.UUID, Names: []string{device.Path}, Filesystem: signature.Type}
	if p := device.Partition; p != nil && p.Label != "" {
		e.Names = append(e.Names, "PARTLABEL="+p.Label, "/dev/disk/by-partlabel/"+p.Label)
	}
	if signature.Label != "" {
		e.Names = append(e.Names, "LABEL="+signature.Label)
	}
	return e, true
}

// Unmount implements agentv1.AgentServer.
func (s *Service) Unmount(ctx context.Context, r *agentv1.UnmountRequest) (*agentv1.UnmountReply, error) {
	s.kept.drop()
	if err := rootfs.Unmount(ctx, r.MountPoint); err != nil {
		return nil, statusOf(err)
	}
	return &agentv1.UnmountReply{}, nil
}
