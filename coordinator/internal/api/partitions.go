package api

import (
	"cmp"
	"strconv"
	"strings"

	"kadeploy/coordinator/internal/cluster"
	"kadeploy/coordinator/internal/layout"
	"kadeploy/coordinator/internal/workflow"
)

// devices are what a deployment writes to: for each partition, a function that
// gives its names in the rights table on a cluster's nodes.
func devices(req *workflow.Request) []func(cl *cluster.Cluster) []string {
	all := []func(cl *cluster.Cluster) []string{func(cl *cluster.Cluster) []string {
		if req.BlockDevice != "" && req.Partition == "" {
			return diskNames(cl, req.BlockDevice)
		}
		disk := cmp.Or(req.BlockDevice, cl.Partitioning.BlockDevice)
		return partitionNames(cl, disk, cmp.Or(req.Partition, strconv.Itoa(cl.Partitioning.Deploy)))
	}}
	if req.OwnLayout() { // a user who replaces tables needs the disks
		for _, disk := range layout.Disks(req.Env.Options.Layout) {
			all = append(all, func(cl *cluster.Cluster) []string {
				return diskNames(cl, cmp.Or(disk, req.BlockDevice, cl.Partitioning.BlockDevice))
			})
		}
	}
	if req.Env.Multipart {
		for _, p := range req.Env.Options.Partitions {
			all = append(all, func(*cluster.Cluster) []string { return []string{p.Device} })
		}
	}
	return all
}

// diskNames are the device and the id of a disk: those of the cluster's own
// disk are both known.
func diskNames(cl *cluster.Cluster, disk string) []string {
	p := cl.Partitioning
	if disk != p.BlockDevice && disk != p.DiskID {
		return []string{disk}
	}
	return without([]string{disk, p.BlockDevice, p.DiskID})
}

// partitionNames are all names of a partition that is given by number or label:
// /dev/sda3, disk0/3 and disk0/DEPLOY, and on the cluster's own disk 3 and DEPLOY.
// The first is the one that the caller used.
func partitionNames(cl *cluster.Cluster, disk, partition string) []string {
	number, label := partition, ""
	if !digits(partition) {
		number, label = numberOf(cl, partition), partition
	} else {
		label = labelOf(cl, partition)
	}
	own := disk == cl.Partitioning.BlockDevice || disk == cl.Partitioning.DiskID
	if !own { // the cluster's scheme says nothing of other disks
		if digits(partition) {
			label = ""
		} else {
			number = ""
		}
	}
	var byNumber, byLabel []string
	for _, d := range diskNames(cl, disk) {
		if number != "" {
			byNumber = append(byNumber, partitionOf(d, number))
		}
		if strings.HasPrefix(d, "/dev/") {
			continue
		}
		if number != "" {
			byNumber = append(byNumber, d+"/"+number)
		}
		if label != "" {
			byLabel = append(byLabel, d+"/"+label)
		}
	}
	if label != "" && len(byLabel) == 0 {
		byLabel = append(byLabel, disk+"/"+label)
	}
	if own {
		byNumber, byLabel = append(byNumber, number), append(byLabel, label)
	}
	if digits(partition) {
		return without(append(byNumber, byLabel...))
	}
	return without(append(byLabel, byNumber...))
}

// without leaves out empty and repeated names.
func without(names []string) []string {
	seen := map[string]bool{"": true}
	var out []string
	for _, n := range names {
		if !seen[n] {
			seen[n] = true
			out = append(out, n)
		}
	}
	return out
}

// roles are the labels of the partitions of a cluster's scheme.
func roles(cl *cluster.Cluster) map[string]int {
	p := cl.Partitioning
	return map[string]int{cmp.Or(p.DeployLabel, "DEPLOY"): p.Deploy, "SWAP": p.Swap, "PROD": p.Prod, "TMP": p.Tmp}
}

func numberOf(cl *cluster.Cluster, label string) string {
	if n := roles(cl)[label]; n > 0 {
		return strconv.Itoa(n)
	}
	return ""
}

func labelOf(cl *cluster.Cluster, number string) string {
	for label, n := range roles(cl) {
		if n > 0 && strconv.Itoa(n) == number {
			return label
		}
	}
	return ""
}

// partitionOf is the device of a partition: sda3, nvme0n1p3, disk0p3.
func partitionOf(device, number string) string {
	if last := device[max(len(device)-1, 0):]; digits(last) {
		return device + "p" + number
	}
	return device + number
}

func digits(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}
