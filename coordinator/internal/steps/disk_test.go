package steps

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/testing/protocmp"

	"kadeploy/coordinator/internal/env"
	"kadeploy/coordinator/internal/layout"
	"kadeploy/coordinator/internal/workflow"
	agentv1 "kadeploy/proto/agent/v1"
)

func layoutTask() *workflow.Task {
	tk := task("disk0", workflow.Request{ReformatTmp: "xfs", Env: &env.Description{OS: "linux", Filesystem: "ext4", Image: env.Image{Kind: "tar"}}})
	tk.Cluster.Partitioning.DeployLabel = "DEPLOY"
	tk.Cluster.Partitioning.Layout = []layout.Part{
		{Label: "SWAP", Number: 1, Size: layout.Size{Bytes: 4e9}, Type: "swap", Filesystem: "swap"},
		{Label: "DEPLOY", Number: 3, Size: layout.Size{Percent: 2500}, Type: "linux", Mount: "/", Mkfs: "-m 0"},
		{Label: "LOG", Number: 1, Disk: "disk2", Type: "linux", Filesystem: "xfs", Mount: "/var/log", Options: "noatime,nofail"},
		{Label: "VAR", Number: 4, Size: layout.Size{Bytes: 1e9}, Type: "linux", Filesystem: "btrfs", Mount: "/var", Mkfs: "-m single"},
		{Label: "TMP", Number: 5, Type: "linux", Filesystem: "ext4", Mount: "/tmp", Mkfs: "-m 1"},
	}
	return tk
}

func TestPartitioning(t *testing.T) {
	known := &agentv1.DiskIdentity{Path: "/dev/disk/by-path/x", SizeBytes: 5}
	want := &agentv1.PartitionRequest{
		Disk: "disk0", DiskId: "disk0",
		Layout: []*agentv1.PartitionSpec{
			{Number: 1, Label: "SWAP", SizeBytes: 4e9, Type: "swap"}, {Number: 3, Label: "DEPLOY", Share: 2500, Type: "linux"},
			{Number: 4, Label: "VAR", SizeBytes: 1e9, Type: "linux"}, {Number: 5, Label: "TMP", Type: "linux"},
		},
		Others: []*agentv1.DiskLayout{{
			Disk: "/dev/disk/by-path/x", DiskId: "disk2", Identity: known,
			Layout: []*agentv1.PartitionSpec{{Number: 1, Label: "LOG", Type: "linux"}},
		}},
	}
	tk := layoutTask()
	if diff := cmp.Diff(want, partitioning(tk), protocmp.Transform()); diff != "" {
		t.Errorf("request (-want +got):\n%s", diff)
	}
	tk.Request.BlockDevice = "disk7"
	if got := partitioning(tk); got.Disk != "disk7" || got.DiskId != "disk7" || len(got.Layout) != 4 || len(got.Others) != 0 {
		t.Errorf("on another disk: %v", got)
	}
}

func TestFormats(t *testing.T) {
	tk := layoutTask()
	show := func(list []fileSystem) (all []string) {
		for _, f := range list {
			all = append(all, devicePath(tk, f.target)+" "+f.kind+" "+f.arguments)
		}
		return all
	}
	want := []string{
		"/dev/disk/by-partlabel/KDPL_DEPLOY_disk0 ext4 -m 0", "/dev/disk/by-path/x-part1 xfs ",
		"/dev/disk/by-partlabel/KDPL_VAR_disk0 btrfs -m single", "/dev/disk/by-partlabel/KDPL_TMP_disk0 xfs ",
	}
	if diff := cmp.Diff(want, show(deployFormat(tk))); diff != "" {
		t.Errorf("format_deploy_part (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"/dev/disk/by-partlabel/KDPL_SWAP_disk0 swap "}, show(swapFormat(tk))); diff != "" {
		t.Errorf("format_swap_part (-want +got):\n%s", diff)
	}
	tk.Request.NoPartition = true
	tk.Cluster.Partitioning.Layout[3].Mount = ""
	want = slices.Delete(want, 2, 3)
	if diff := cmp.Diff(want, show(deployFormat(tk))); diff != "" {
		t.Errorf("the partitions stay, and one is not mounted (-want +got):\n%s", diff)
	}
	tk = layoutTask()
	tk.Request.Partition = "VAR" // what is deployed on is not mounted inside of it
	want = []string{"/dev/disk/by-partlabel/KDPL_VAR_disk0 ext4 -m single", "/dev/disk/by-path/x-part1 xfs ", "/dev/disk/by-partlabel/KDPL_TMP_disk0 xfs "}
	if diff := cmp.Diff(want, show(deployFormat(tk))); diff != "" {
		t.Errorf("with -p VAR (-want +got):\n%s", diff)
	}
}

// Scripts are told the numbers of what the environment's own layout makes.
func TestNumbersOfAnOwnLayout(t *testing.T) {
	tk := layoutTask()
	tk.Request.Env.Options.Layout = []layout.Part{
		{Label: "SYS", Number: 1, Mount: "/"}, {Label: "S", Number: 7, Filesystem: "swap"}, {Label: "TMP", Number: 3, Filesystem: "ext4", Mount: "/tmp"},
	}
	n := nodes{}
	got := n.variables(tk)
	for name, want := range map[string]string{"DEPLOY_PART_NUM": "1", "SWAP_PART_NUM": "7", "TMP_PART_NUM": "3", "PROD_PART_NUM": "-1", "DEPLOY_PART": "/dev/disk/by-partlabel/KDPL_SYS_disk0"} {
		if got["KADEPLOY_"+name] != want {
			t.Errorf("%s = %q, want %q", name, got["KADEPLOY_"+name], want)
		}
	}
}

func TestKernelOptions(t *testing.T) {
	for options, want := range map[string]string{
		"": "", "defaults,nofail": "", "noatime,nofail,x-systemd.device-timeout=5,umask=0077": "noatime,umask=0077", "ro,_netdev": "",
	} {
		if got := kernelOptions(options); got != want {
			t.Errorf("kernelOptions(%q) = %q, want %q", options, got, want)
		}
	}
}

// doubting is an agent that completes a table with names of several devices in it.
type doubting struct {
	agentv1.AgentClient
	asked *agentv1.CompleteFstabRequest
}

func (d *doubting) CompleteFstab(_ context.Context, r *agentv1.CompleteFstabRequest, _ ...grpc.CallOption) (*agentv1.CompleteFstabReply, error) {
	d.asked = r
	return &agentv1.CompleteFstabReply{Doubts: []string{"LABEL=x is the name of two"}}, nil
}

func TestDoubtsOfTheTableAreTold(t *testing.T) {
	d := &doubting{}
	tk := task("/dev/vda", workflow.Request{Env: &env.Description{Boot: env.Boot{KernelParams: "root=LABEL=x"}}})
	var notes []string
	tk.Note = func(level int, text string) { notes = append(notes, fmt.Sprint(level, text)) }
	n := nodes{Config{Agents: crew{d}, ExtractionDir: "/mnt/dest"}}
	if err := n.completeFstab(t.Context(), tk, "n1"); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(notes, ";"); got != "2Warning: n1: LABEL=x is the name of two" {
		t.Errorf("notes: %s", got)
	}
	if d.asked.KernelParams != "console=ttyS0 root=LABEL=x" {
		t.Errorf("the node was told the parameters %q", d.asked.KernelParams)
	}
}
