package steps

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"

	"kadeploy/coordinator/internal/layout"
	"kadeploy/coordinator/internal/workflow"
	agentv1 "kadeploy/proto/agent/v1"
)

// blockDevice is the disk that is deployed on: the user's choice, else the cluster's.
// A disk id is the path that the site gave it, if it did.
func blockDevice(t *workflow.Task) string {
	if t.Request.BlockDevice != "" {
		return pathOf(t, t.Request.BlockDevice)
	}
	return t.Cluster.Partitioning.BlockDevice
}

func pathOf(t *workflow.Task, disk string) string {
	return cmp.Or(t.Cluster.Partitioning.Disks[disk].Path, disk)
}

// diskID is the suffix of the labels on the disk that is deployed on.
func diskID(t *workflow.Task) string {
	if t.Request.BlockDevice != "" {
		return idOf(t, t.Request.BlockDevice)
	}
	return idOf(t, t.Cluster.Partitioning.BlockDevice)
}

// idOf is the id of a disk that is named by it or by its path.
func idOf(t *workflow.Task, disk string) string {
	p := t.Cluster.Partitioning
	if isDiskID(disk) {
		return disk
	}
	for id, known := range p.Disks {
		if known.Path == disk {
			return id
		}
	}
	if disk == p.BlockDevice {
		return cmp.Or(p.DiskID, "disk0")
	}
	// Nobody gave it an id: its name tells its labels from those of others.
	return word(disk[strings.LastIndexByte(disk, '/')+1:])
}

// onDisk is a disk as agents look for it, with what the site knows of it.
func onDisk(t *workflow.Task, disk string) *agentv1.Target {
	target := &agentv1.Target{Disk: pathOf(t, disk)}
	if known, ok := t.Cluster.Partitioning.Disks[idOf(t, disk)]; ok {
		target.Identity = &agentv1.DiskIdentity{Path: known.Path, Serials: known.Serials, Wwns: known.WWNs, SizeBytes: known.Size}
	}
	return target
}

// deployedDisk is the disk that is deployed on.
func deployedDisk(t *workflow.Task) *agentv1.Target { return onDisk(t, blockDevice(t)) }

// partTarget is a partition of the layout.
func partTarget(t *workflow.Task, p layout.Part) *agentv1.Target {
	target := onDisk(t, cmp.Or(p.Disk, blockDevice(t)))
	target.Partition = partitionNumber(p.Number)
	return target
}

func isDiskID(device string) bool {
	number, ok := strings.CutPrefix(device, "disk")
	if !ok {
		return false
	}
	_, err := strconv.Atoi(number)
	return err == nil
}

// deployTarget is the partition, or the whole disk, that is deployed on.
func deployTarget(t *workflow.Task) *agentv1.Target {
	target := deployedDisk(t)
	place := t.Request.Place(t.Cluster)
	target.Partition, target.Label = partitionNumber(place.Number), place.Label
	if place.Label != "" && target.Identity == nil && (t.Request.BlockDevice == "" || isDiskID(t.Request.BlockDevice)) {
		target.Disk = diskID(t) // the label is known in full, whichever disk it is on
	}
	return target
}

// rootTarget is the partition that has the deployed system's root: that which is
// deployed on, but for images of several partitions. The planner keeps away what
// needs it if it is not known.
func rootTarget(t *workflow.Task) *agentv1.Target {
	e := t.Request.Env
	if e != nil && e.Multipart {
		return &agentv1.Target{Disk: e.Boot.BlockDevice, Partition: partitionNumber(e.Boot.Partition)}
	}
	target := deployTarget(t)
	if target.Partition == 0 && target.Label == "" {
		target.Partition = bootPartition(t) // the image of a whole disk
	}
	return target
}

// bootPartition is the user's choice of what the firmware's boot is passed on to;
// 0 is the boot record of the disk.
func bootPartition(t *workflow.Task) uint32 {
	number, err := strconv.ParseUint(t.Request.BootPart, 10, 32)
	if err != nil {
		return 0 // none was chosen
	}
	return uint32(number)
}

// namedTarget is a partition as descriptions name it: /dev/sda2, disk0/2 or disk0/PROD.
func namedTarget(device string) *agentv1.Target {
	disk, part, ok := strings.Cut(device, "/")
	if !ok || !isDiskID(disk) {
		return &agentv1.Target{Disk: device}
	}
	if number, err := strconv.ParseUint(part, 10, 32); err == nil {
		return &agentv1.Target{Disk: disk, Partition: uint32(number)}
	}
	return &agentv1.Target{Disk: disk, Label: part}
}

// numbered is a partition of the cluster's scheme; ok is false if the cluster has none.
func numbered(t *workflow.Task, number int) (target *agentv1.Target, ok bool) {
	if number <= 0 {
		return nil, false
	}
	target = deployedDisk(t)
	target.Partition = uint32(number)
	return target, true
}

func partitionNumber(n int) uint32 { return uint32(max(n, 0)) }

// devicePath is how scripts name a target. The coordinator does not know which
// device a disk id is on a node, but labels say it there.
func devicePath(t *workflow.Task, target *agentv1.Target) string {
	if target.Label != "" {
		return labelPath(target.Label, diskID(t))
	}
	if target.Partition == 0 {
		return target.Disk
	}
	if isDiskID(target.Disk) {
		if label, ok := roleOf(t, int(target.Partition)); ok {
			return labelPath(label, diskID(t))
		}
	}
	return partitionPath(target.Disk, target.Partition)
}

func labelPath(label, disk string) string {
	return fmt.Sprintf("/dev/disk/by-partlabel/KDPL_%s_%s", label, disk)
}

// roleOf is the label of a partition of the cluster's scheme.
func roleOf(t *workflow.Task, number int) (string, bool) {
	p := t.Cluster.Partitioning
	for _, part := range t.Request.Layout(t.Cluster) {
		if part.Disk == "" && part.Number == number {
			return part.Label, true
		}
	}
	for label, n := range map[string]int{"DEPLOY": p.Deploy, "SWAP": p.Swap, "PROD": p.Prod, "TMP": p.Tmp} {
		if n == number {
			return label, true
		}
	}
	return "", false
}

// partitionPath follows the kernel's rule: a p goes between a disk's name that
// ends in a digit and the number of the partition; links by path or id have -part.
func partitionPath(disk string, number uint32) string {
	switch {
	case strings.HasPrefix(disk, "/dev/disk/"):
		return fmt.Sprintf("%s-part%d", disk, number)
	case disk != "" && disk[len(disk)-1] >= '0' && disk[len(disk)-1] <= '9':
		return fmt.Sprintf("%sp%d", disk, number)
	}
	return fmt.Sprintf("%s%d", disk, number)
}
