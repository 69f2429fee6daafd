package steps

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"

	"kadeploy/coordinator/internal/cluster"
	"kadeploy/coordinator/internal/env"
	"kadeploy/coordinator/internal/workflow"
	agentv1 "kadeploy/proto/agent/v1"
)

func task(device string, request workflow.Request) *workflow.Task {
	return &workflow.Task{
		Request: &request,
		Cluster: &cluster.Cluster{
			Name: "lab",
			Partitioning: cluster.Partitioning{BlockDevice: device, Deploy: 3, Swap: 1, Prod: 2, Tmp: 5,
				Disks: map[string]cluster.Disk{"disk2": {Path: "/dev/disk/by-path/x", Size: 5}}},
			UserParams: "console=ttyS0",
		},
	}
}

func TestDeployTarget(t *testing.T) {
	for _, c := range []struct {
		name, device string
		request      workflow.Request
		want         *agentv1.Target
		path         string
	}{
		{"the cluster's", "/dev/sda", workflow.Request{}, &agentv1.Target{Disk: "/dev/sda", Partition: 3}, "/dev/sda3"},
		{"NVMe", "/dev/nvme0n1", workflow.Request{}, &agentv1.Target{Disk: "/dev/nvme0n1", Partition: 3}, "/dev/nvme0n1p3"},
		{"by path", "/dev/disk/by-path/pci-1", workflow.Request{}, &agentv1.Target{Disk: "/dev/disk/by-path/pci-1", Partition: 3}, "/dev/disk/by-path/pci-1-part3"},
		{"disk by id", "disk0", workflow.Request{}, &agentv1.Target{Disk: "disk0", Partition: 3}, "/dev/disk/by-partlabel/KDPL_DEPLOY_disk0"},
		{"-p 2", "/dev/sda", workflow.Request{Partition: "2"}, &agentv1.Target{Disk: "/dev/sda", Partition: 2}, "/dev/sda2"},
		{"-p PROD", "/dev/sda", workflow.Request{Partition: "PROD"}, &agentv1.Target{Disk: "disk0", Label: "PROD"}, "/dev/disk/by-partlabel/KDPL_PROD_disk0"},
		{"-b disk1 -p TMP", "disk0", workflow.Request{BlockDevice: "disk1", Partition: "TMP"}, &agentv1.Target{Disk: "disk1", Label: "TMP"}, "/dev/disk/by-partlabel/KDPL_TMP_disk1"},
		{"-b /dev/sdb", "/dev/sda", workflow.Request{BlockDevice: "/dev/sdb"}, &agentv1.Target{Disk: "/dev/sdb"}, "/dev/sdb"},
		{"-b /dev/sdb -p 2", "/dev/sda", workflow.Request{BlockDevice: "/dev/sdb", Partition: "2"}, &agentv1.Target{Disk: "/dev/sdb", Partition: 2}, "/dev/sdb2"},
		{"-b /dev/sdb -p PROD", "/dev/sda", workflow.Request{BlockDevice: "/dev/sdb", Partition: "PROD"}, &agentv1.Target{Disk: "/dev/sdb", Label: "PROD"}, "/dev/disk/by-partlabel/KDPL_PROD_sdb"},
		{"-b disk1, files", "disk0", workflow.Request{BlockDevice: "disk1", Env: &env.Description{Image: env.Image{Kind: "tar"}}}, &agentv1.Target{Disk: "disk1", Partition: 3}, "/dev/disk/by-partlabel/KDPL_DEPLOY_disk1"},
		{"-b disk7, an image", "disk0", workflow.Request{BlockDevice: "disk7", Env: &env.Description{Image: env.Image{Kind: "dd"}}}, &agentv1.Target{Disk: "disk7"}, "disk7"},
		{"-b disk2, which is known", "disk0", workflow.Request{BlockDevice: "disk2", Partition: "PROD"},
			&agentv1.Target{Disk: "/dev/disk/by-path/x", Label: "PROD", Identity: &agentv1.DiskIdentity{Path: "/dev/disk/by-path/x", SizeBytes: 5}}, "/dev/disk/by-partlabel/KDPL_PROD_disk2"},
		{"its path", "disk0", workflow.Request{BlockDevice: "/dev/disk/by-path/x", Partition: "1"},
			&agentv1.Target{Disk: "/dev/disk/by-path/x", Partition: 1, Identity: &agentv1.DiskIdentity{Path: "/dev/disk/by-path/x", SizeBytes: 5}}, "/dev/disk/by-path/x-part1"},
	} {
		tk := task(c.device, c.request)
		got := deployTarget(tk)
		if diff := cmp.Diff(c.want, got, protocmp.Transform()); diff != "" {
			t.Errorf("%s: target (-want +got):\n%s", c.name, diff)
		}
		if path := devicePath(tk, got); path != c.path {
			t.Errorf("%s: path %s, want %s", c.name, path, c.path)
		}
	}
}

func TestVariables(t *testing.T) {
	tk := task("/dev/vda", workflow.Request{
		Env: &env.Description{
			Name: "debian12-min", OS: "linux", Filesystem: "ext4", PartitionType: 0x83,
			Boot:            env.Boot{Kernel: "/vmlinuz", Initrd: "/initrd.img", KernelParams: "quiet"},
			CustomVariables: map[string]string{"A": "description", "B": "description"},
		},
		Variables: map[string]string{"B": "command line"},
	})
	tk.Cluster.Variables = map[string]string{"A": "cluster", "C": "cluster"}
	n := nodes{Config{ExtractionDir: "/mnt/dest", ArchiveDir: "/rambin", TmpDir: "/tmp"}}
	want := map[string]string{
		"KADEPLOY_CLUSTER": "lab", "KADEPLOY_DEPLOY_PART": "/dev/vda3", "KADEPLOY_BLOCK_DEVICE": "/dev/vda",
		"KADEPLOY_DEPLOY_PART_NUM": "3", "KADEPLOY_SWAP_PART_NUM": "1", "KADEPLOY_PROD_PART_NUM": "2", "KADEPLOY_TMP_PART_NUM": "5", "KADEPLOY_VERSION": "",
		"KADEPLOY_PREPOST_EXTRACTION_DIR": "/rambin", "KADEPLOY_TMP_DIR": "/tmp", "KADEPLOY_ENV_EXTRACTION_DIR": "/mnt/dest",
		"KADEPLOY_ENV": "debian12-min", "KADEPLOY_ENV_KERNEL": "/vmlinuz", "KADEPLOY_ENV_INITRD": "/initrd.img",
		"KADEPLOY_ENV_KERNEL_PARAMS": "console=ttyS0 quiet", "KADEPLOY_ENV_HYPERVISOR": "", "KADEPLOY_ENV_HYPERVISOR_PARAMS": "",
		"KADEPLOY_OS_KIND": "linux", "KADEPLOY_PART_TYPE": "83", "KADEPLOY_FS_TYPE": "ext4",
		"KADEPLOY_A": "description", "KADEPLOY_B": "command line", "KADEPLOY_C": "cluster",
	}
	if diff := cmp.Diff(want, n.variables(tk)); diff != "" {
		t.Errorf("variables (-want +got):\n%s", diff)
	}
	tk.Cluster.Partitioning.DisableSwap = true
	tk.Cluster.Partitioning.Tmp = -1
	got := n.variables(tk)
	if got["KADEPLOY_SWAP_PART_NUM"] != "none" || got["KADEPLOY_TMP_PART_NUM"] != "-1" {
		t.Errorf("without swap and tmp: swap %q, tmp %q", got["KADEPLOY_SWAP_PART_NUM"], got["KADEPLOY_TMP_PART_NUM"])
	}
}
