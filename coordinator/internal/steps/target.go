package steps

import (
	"fmt"
	"strconv"
	"strings"

	"kadeploy/coordinator/internal/workflow"
	agentv1 "kadeploy/proto/agent/v1"
)

// blockDevice is the disk that is deployed on: the user's choice, else the cluster's.
func blockDevice(t *workflow.Task) string {
	if t.Request.BlockDevice != "" {
		return t.Request.BlockDevice
	}
	return t.Cluster.Partitioning.BlockDevice
}

// diskID is the suffix of the labels on the disk that is deployed on.
func diskID(t *workflow.Task) string {
	if device := t.Request.BlockDevice; isDiskID(device) {
		return device
	}
	if id := t.Cluster.Partitioning.DiskID; id != "" {
		return id
	}
	if device := t.Cluster.Partitioning.BlockDevice; isDiskID(device) {
		return device
	}
	return "disk0"
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
	target := &agentv1.Target{Disk: blockDevice(t)}
	switch part := t.Request.Partition; {
	case part == "" && t.Request.BlockDevice != "":
		// A device without a partition means all of it (contract 1.3).
	case part == "":
		target.Partition = partitionNumber(t.Cluster.Partitioning.Deploy)
	default:
		if number, err := strconv.ParseUint(part, 10, 32); err == nil {
			target.Partition = uint32(number)
		} else {
			target.Disk, target.Label = diskID(t), part
		}
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
	return &agentv1.Target{Disk: blockDevice(t), Partition: uint32(number)}, true
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
	for _, part := range p.Layout {
		if part.Number == number {
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
