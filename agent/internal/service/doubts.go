package service

import (
	"context"
	"errors"
	"slices"
	"strings"

	"kadeploy/agent/internal/command"
	"kadeploy/agent/internal/disk"
	"kadeploy/agent/internal/fault"
	"kadeploy/agent/internal/fstab"
	agentv1 "kadeploy/proto/agent/v1"
)

// doubts are the names by which the deployed system looks for its file systems, and
// that several devices of the machine have. A root of that kind is an error: the
// machine may start another system, which would be taken for the deployed one.
func (s *Service) doubts(ctx context.Context, r *agentv1.CompleteFstabRequest) ([]string, error) {
	table, err := fstab.Read(r.Root)
	if err != nil {
		return nil, err
	}
	devices, err := s.named(ctx, strings.Contains(strings.ToUpper(table+r.KernelParams), "PARTUUID"))
	if err != nil {
		return nil, err
	}
	doubts := fstab.Ambiguous(table, r.KernelParams, devices)
	if len(doubts) > 0 { // seldom: what costs a program for each device is asked only now
		doubts = fstab.Ambiguous(table, r.KernelParams, withoutParts(ctx, devices))
	}
	var texts []string
	var errs []error
	for _, d := range doubts {
		if d.Point == "" {
			errs = append(errs, fault.Preconditionf("%s", d))
		} else {
			texts = append(texts, d.String())
		}
	}
	return texts, errors.Join(errs...)
}

// named are the partitions, and the disks without any, with their names. The UUIDs
// of partitions take a program for each, and are looked for only if they count.
func (s *Service) named(ctx context.Context, partUUIDs bool) ([]fstab.Named, error) {
	disks, err := s.host().Disks()
	if err != nil {
		return nil, err
	}
	var all []fstab.Named
	for _, d := range disks {
		if len(d.Partitions) == 0 {
			all = append(all, fstab.Named{Path: d.Path})
		}
		for _, p := range d.Partitions {
			n := fstab.Named{Path: p.Path, PartLabel: p.Label}
			if partUUIDs {
				n.PartUUID = partitionEntry(ctx, p.Path, "UUID")
			}
			all = append(all, n)
		}
	}
	for i := range all {
		// One that cannot be read has no names that a system could find.
		if signature, err := disk.Probe(all[i].Path); err == nil {
			all[i].UUID, all[i].Label, all[i].Type = signature.UUID, signature.Label, signature.Type
		}
	}
	return all, nil
}

// withoutParts takes their names from devices that share them because they are parts
// of one file system: of btrfs, where all have its UUID, and of arrays whose marks are
// at the end, where each looks as the array does.
func withoutParts(ctx context.Context, devices []fstab.Named) []fstab.Named {
	all := slices.Clone(devices)
	known := map[string]bool{} // UUIDs of btrfs
	for i := range all {
		d := &all[i]
		part := d.Type == "btrfs" && known[d.UUID]
		known[d.UUID] = known[d.UUID] || d.Type == "btrfs"
		if !part && d.Type != "" {
			kind, err := command.Output(ctx, "blkid", "-p", "-s", "TYPE", "-o", "value", d.Path)
			part = err == nil && strings.HasSuffix(strings.TrimSpace(kind), "_member")
		}
		if part {
			d.UUID, d.Label = "", ""
		}
	}
	return all
}
