package steps

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"

	"kadeploy/coordinator/internal/env"
	"kadeploy/coordinator/internal/workflow"
	agentv1 "kadeploy/proto/agent/v1"
)

// Where the root is, and what the boot is passed on to, by kind of deployment.
func TestRootTarget(t *testing.T) {
	multipart := &env.Description{Multipart: true, Boot: env.Boot{BlockDevice: "/dev/sdb", Partition: 2}}
	for _, c := range []struct {
		name    string
		request workflow.Request
		want    *agentv1.Target
		chained uint32
	}{
		{"the cluster's partition", workflow.Request{}, &agentv1.Target{Disk: "disk0", Partition: 3}, 3},
		{"the cluster's partition, -c 0", workflow.Request{BootPart: "0"}, &agentv1.Target{Disk: "disk0", Partition: 3}, 0},
		{"whole disk, -c 2", workflow.Request{BlockDevice: "disk1", BootPart: "2"}, &agentv1.Target{Disk: "disk1", Partition: 2}, 2},
		{"whole disk, -c 0", workflow.Request{BlockDevice: "disk1", BootPart: "0"}, &agentv1.Target{Disk: "disk1"}, 0},
		{"label", workflow.Request{Partition: "PROD", BootPart: "1"}, &agentv1.Target{Disk: "disk0", Label: "PROD"}, 1},
		{"multipart", workflow.Request{Env: multipart}, &agentv1.Target{Disk: "/dev/sdb", Partition: 2}, 2},
	} {
		tk := task("disk0", c.request)
		if diff := cmp.Diff(c.want, rootTarget(tk), protocmp.Transform()); diff != "" {
			t.Errorf("%s: root (-want +got):\n%s", c.name, diff)
		}
		if got := chained(tk); got != c.chained {
			t.Errorf("%s: the boot goes on to partition %d, want %d", c.name, got, c.chained)
		}
	}
}

func TestFsaSink(t *testing.T) {
	list := env.Options{Partitions: []env.Partition{{ID: 1, Device: "/dev/sda2"}, {ID: 0, Device: "disk1/PROD"}, {ID: 2, Device: "disk1/4"}}}
	deploy := &agentv1.Target{Disk: "/dev/sda", Partition: 3}
	tmp := &agentv1.Target{Disk: "/dev/sda", Partition: 5}
	for _, c := range []struct {
		name string
		env  env.Description
		want []*agentv1.FsaPart
	}{
		{"nothing listed", env.Description{}, []*agentv1.FsaPart{{Id: 0, Target: deploy}}},
		// Rights were checked for the partition that is deployed on, not for those of the list.
		{"listed, but not multipart", env.Description{Options: list}, []*agentv1.FsaPart{{Id: 1, Target: deploy}}},
		{"multipart", env.Description{Options: list, Multipart: true}, []*agentv1.FsaPart{
			{Id: 1, Target: &agentv1.Target{Disk: "/dev/sda2"}},
			{Id: 0, Target: &agentv1.Target{Disk: "disk1", Label: "PROD"}},
			{Id: 2, Target: &agentv1.Target{Disk: "disk1", Partition: 4}},
		}},
	} {
		tk := task("/dev/sda", workflow.Request{Env: &c.env, Files: workflow.Files{Image: workflow.File{Size: 1000}}})
		want := &agentv1.FsaSink{Parts: c.want, Scratch: tmp, FileBytes: 1000}
		if diff := cmp.Diff(want, fsaSink(tk), protocmp.Transform()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}
