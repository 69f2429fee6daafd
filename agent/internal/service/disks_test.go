package service

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/google/go-cmp/cmp"

	agentv1 "kadeploy/proto/agent/v1"
)

func output(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
	return strings.TrimSpace(string(out))
}

// loopDisk attaches a sparse file as a disk.
func loopDisk(t *testing.T, size string) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("this test uses loop devices: run it as root")
	}
	file := filepath.Join(t.TempDir(), "disk")
	output(t, "truncate", "-s", size, file)
	dev := output(t, "losetup", "--find", "--show", "--partscan", file)
	t.Cleanup(func() { output(t, "losetup", "--detach", dev) })
	return dev
}

// A layout over two disks, from the tables to the fstab of the deployed system,
// twice: what the first deployment has left does not hinder the second.
func TestLayoutOfTwoDisks(t *testing.T) {
	a, b := loopDisk(t, "3G"), loopDisk(t, "2G")
	agent := client(t, Config{})
	root := filepath.Join(t.TempDir(), "dest")
	t.Cleanup(func() { exec.Command("umount", "-R", root).Run() })
	on := func(disk string, partition uint32) *agentv1.Target {
		return &agentv1.Target{Disk: disk, Partition: partition}
	}
	for range 2 {
		if _, err := agent.Partition(t.Context(), &agentv1.PartitionRequest{
			Disk: a, DiskId: "disk0",
			Layout: []*agentv1.PartitionSpec{
				{Label: "SWAP", SizeBytes: 100 << 20, Type: "swap"}, {Label: "ROOT", Share: 2500}, {Label: "VAR"},
			},
			Others: []*agentv1.DiskLayout{{
				Disk: "disk1", DiskId: "disk1", Identity: &agentv1.DiskIdentity{Path: b, SizeBytes: 2 << 30}, Layout: []*agentv1.PartitionSpec{{Label: "LIB"}},
			}},
		}); err != nil {
			t.Fatal(err)
		}
		for target, kind := range map[*agentv1.Target]string{on(a, 1): "swap", on(a, 2): "ext4", on(a, 3): "ext4", on(b, 1): "xfs"} {
			if _, err := agent.Format(t.Context(), &agentv1.FormatRequest{Target: target, Filesystem: kind}); err != nil {
				t.Fatal(err)
			}
		}
		mount := &agentv1.MountRequest{Target: on(a, 2), MountPoint: root, Filesystem: "ext4", Inner: []*agentv1.InnerMount{
			{Target: on(a, 3), Path: "/var", Filesystem: "ext4", Options: "noatime"}, {Target: on(b, 1), Path: "/var/lib", Filesystem: "ext4"},
		}}
		if _, err := agent.Mount(t.Context(), mount); err == nil {
			t.Fatal("xfs was mounted as ext4")
		}
		if left, _ := exec.Command("findmnt", "-R", root).Output(); len(left) > 0 {
			t.Fatalf("a mount that failed has left:\n%s", left)
		}
		mount.Inner[1].Filesystem = "xfs"
		for range 2 { // a micro-step may be done twice
			if _, err := agent.Mount(t.Context(), mount); err != nil {
				t.Fatal(err)
			}
		}
		if got := output(t, "findmnt", "-Rno", "SOURCE", root); strings.Join(strings.Fields(got), " ") != a+"p2 "+a+"p3 "+b+"p1" {
			t.Errorf("mounted are %s", got)
		}
		output(t, "mkdir", root+"/etc")
		fstab := &agentv1.CompleteFstabRequest{Root: root, Entries: []*agentv1.FstabEntry{
			{MountPoint: "/var", Options: "noatime,nofail"}, {Target: on(a, 1)}, {Target: on(a, 9)},
		}}
		reply, err := agent.CompleteFstab(t.Context(), fstab)
		if err != nil {
			t.Fatal(err)
		}
		uuid := func(device string) string {
			return "UUID=" + output(t, "blkid", "-p", "-o", "value", "-s", "UUID", device)
		}
		want := []string{
			uuid(a+"p2") + " / ext4 defaults 0 1", uuid(a+"p3") + " /var ext4 noatime,nofail 0 2",
			uuid(b+"p1") + " /var/lib xfs defaults 0 0", uuid(a+"p1") + " none swap sw 0 0",
		}
		if diff := cmp.Diff(want, reply.Added); diff != "" {
			t.Errorf("fstab (-want +got):\n%s", diff)
		}
		// While it is mounted, nothing of it can be destroyed.
		_, err = agent.Partition(t.Context(), &agentv1.PartitionRequest{Disk: b, Layout: []*agentv1.PartitionSpec{{Label: "X"}}})
		if status.Code(err) != codes.FailedPrecondition || !strings.Contains(err.Error(), "mounted on "+root+"/var/lib") {
			t.Errorf("partitioning a disk in use: %v", err)
		}
		if _, err := agent.Unmount(t.Context(), &agentv1.UnmountRequest{MountPoint: root}); err != nil {
			t.Fatal(err)
		}
	}
	located, err := agent.Locate(t.Context(), &agentv1.LocateRequest{Targets: []*agentv1.Target{on(a, 3), {Disk: b}}})
	if err != nil || strings.Join(located.Paths, " ") != a+"p3 "+b {
		t.Errorf("Locate = %v, %v", located, err)
	}
}
