package api

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kadeploy/coordinator/internal/cluster"
	"kadeploy/coordinator/internal/env"
	"kadeploy/coordinator/internal/workflow"
)

func TestDevicesHaveAllNamesThatRightsMayUse(t *testing.T) {
	cl := &cluster.Cluster{Partitioning: cluster.Partitioning{BlockDevice: "/dev/vda", DiskID: "disk0", DeployLabel: "DEPLOY", Deploy: 3, Swap: 1, Prod: 2, Tmp: 5}}
	multi := env.Description{Multipart: true}
	multi.Options.Partitions = []env.Partition{{ID: 0, Device: "/dev/vda2"}, {ID: 1, Device: "/dev/vda4"}}
	for _, c := range []struct {
		name string
		req  workflow.Request
		want string // partitions by comma, names by space
	}{
		{"the cluster's", workflow.Request{}, "/dev/vda3 disk0p3 disk0/3 3 disk0/DEPLOY DEPLOY"},
		{"number", workflow.Request{Partition: "4"}, "/dev/vda4 disk0p4 disk0/4 4"},
		{"label", workflow.Request{Partition: "PROD"}, "disk0/PROD PROD /dev/vda2 disk0p2 disk0/2 2"},
		{"unknown label", workflow.Request{Partition: "DATA"}, "disk0/DATA DATA"},
		{"own disk by id", workflow.Request{BlockDevice: "disk0", Partition: "TMP"}, "disk0/TMP TMP disk0p5 disk0/5 /dev/vda5 5"},
		{"other disk, label", workflow.Request{BlockDevice: "disk1", Partition: "PROD"}, "disk1/PROD"},
		{"other disk, number", workflow.Request{BlockDevice: "/dev/nvme0n1", Partition: "2"}, "/dev/nvme0n1p2"},
		{"other disk", workflow.Request{BlockDevice: "/dev/sdb"}, "/dev/sdb"},
		{"own disk", workflow.Request{BlockDevice: "/dev/vda"}, "/dev/vda disk0"},
		{"several", workflow.Request{Partition: "2", Env: &multi}, "/dev/vda2 disk0p2 disk0/2 2 disk0/PROD PROD,/dev/vda2,/dev/vda4"},
	} {
		if c.req.Env == nil {
			c.req.Env = &env.Description{}
		}
		var got []string
		for _, names := range devices(&c.req) {
			got = append(got, strings.Join(names(cl), " "))
		}
		if diff := cmp.Diff(c.want, strings.Join(got, ",")); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}
