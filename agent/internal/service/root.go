package service

import (
	"context"
	"strings"

	"kadeploy/agent/internal/command"
	"kadeploy/agent/internal/disk"
	agentv1 "kadeploy/proto/agent/v1"
)

// root is the partition that holds a root file system, and its names. Empty: it has none.
type root struct {
	path, uuid, label, partUUID string
	shared                      bool // another device has a file system of the same UUID
}

func (s *Service) rootDevice(ctx context.Context, t *agentv1.Target) (root, error) {
	device, err := s.host().Resolve(target(t))
	if err != nil {
		return root{}, err
	}
	signature, err := disk.Probe(device.Path)
	r := root{path: device.Path, uuid: signature.UUID}
	if device.Partition != nil {
		r.label = device.Partition.Label
		r.partUUID = partitionEntry(ctx, device.Path, "UUID")
	}
	if err != nil {
		return r, err
	}
	twins := sameUUID(s.others(device.Path), r.uuid)
	r.shared = len(twins) > 0
	for _, twin := range twins {
		s.log.Warn("two file systems have one UUID: the root is named otherwise", "uuid", r.uuid, "root", r.path, "other", twin)
		if r.partUUID == partitionEntry(ctx, twin, "UUID") {
			r.partUUID = "" // the image of a whole disk stands on two
		}
	}
	return r, nil
}

// others are the partitions, and the disks without any, beside one device.
func (s *Service) others(device string) (paths []string) {
	disks, err := s.host().Disks()
	if err != nil {
		return nil // then nothing is known of others
	}
	for _, d := range disks {
		if len(d.Partitions) == 0 && d.Path != device {
			paths = append(paths, d.Path)
		}
		for _, p := range d.Partitions {
			if p.Path != device {
				paths = append(paths, p.Path)
			}
		}
	}
	return paths
}

// sameUUID are the devices with a file system of that UUID: an image of a
// partition that was written twice.
func sameUUID(devices []string, uuid string) (same []string) {
	for _, device := range devices {
		if signature, err := disk.Probe(device); err == nil && uuid != "" && signature.UUID == uuid {
			same = append(same, device)
		}
	}
	return same
}

// argument is what the kernel's root= is. Only an initrd knows UUIDs of file systems.
func (r root) argument(initrd bool) string {
	switch {
	case initrd && r.uuid != "" && !r.shared:
		return "UUID=" + r.uuid
	case (!initrd || r.shared) && r.partUUID != "":
		return "PARTUUID=" + r.partUUID
	}
	return r.path
}

// espType is the GPT type of EFI system partitions (UEFI 2.10, section 5.3.3).
const espType = "c12a7328-f81f-11d2-ba4b-00a0c93ec93b"

// esp is the EFI system partition of a disk, by its label or else by its type. It
// is given a file system if it has none yet. Empty: the disk has no such partition.
func (s *Service) esp(ctx context.Context, d disk.Disk) (path string, number int, err error) {
	for _, is := range []func(disk.Partition) bool{
		func(p disk.Partition) bool { return strings.HasPrefix(p.Label, disk.PartLabel("EFI", "")) },
		func(p disk.Partition) bool { return partitionEntry(ctx, p.Path, "TYPE") == espType },
	} {
		for _, p := range d.Partitions {
			if !is(p) {
				continue
			}
			signature, err := disk.Probe(p.Path)
			if err != nil || signature.Type == "vfat" {
				return p.Path, p.Number, err
			}
			device, _, err := s.host().Format(ctx, disk.Format{
				Target: disk.Target{Disk: d.Path, Partition: p.Number}, Filesystem: "vfat", Label: "EFI",
			})
			return device.Path, p.Number, err
		}
	}
	return "", 0, nil
}

// partitionEntry is the UUID or the TYPE that the partition table has for a
// partition, in lower case; empty if it cannot be told.
func partitionEntry(ctx context.Context, device, what string) string {
	text, err := command.Output(ctx, "blkid", "-p", "-s", "PART_ENTRY_"+what, "-o", "value", device)
	if err != nil {
		return ""
	}
	return strings.ToLower(strings.TrimSpace(text))
}
