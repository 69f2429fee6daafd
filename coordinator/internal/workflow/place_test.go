package workflow

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kadeploy/coordinator/internal/cluster"
	"kadeploy/coordinator/internal/customops"
	"kadeploy/coordinator/internal/env"
	"kadeploy/coordinator/internal/layout"
)

func TestPlaceAndInner(t *testing.T) {
	c := &cluster.Cluster{Partitioning: cluster.Partitioning{
		BlockDevice: "/dev/sda", DiskID: "disk0", Deploy: 3, DeployLabel: "DEPLOY",
		Layout: []layout.Part{
			{Label: "DEPLOY", Number: 3, Mount: "/"},
			{Label: "LOG", Number: 1, Disk: "disk1", Filesystem: "xfs", Mount: "/var/log"},
			{Label: "VAR", Number: 4, Filesystem: "ext4", Mount: "/var"},
		},
	}}
	own := []layout.Part{{Label: "SWAP", Number: 1, Filesystem: "swap"}, {Label: "SYS", Number: 2, Mount: "/"}, {Label: "OPT", Number: 3, Filesystem: "ext4", Mount: "/opt"}}
	tar := func() *env.Description { return &env.Description{Image: env.Image{Kind: "tar"}} }
	dd := &env.Description{Image: env.Image{Kind: "dd"}}
	with := tar()
	with.Options.Layout = own
	pre := tar()
	pre.Preinstall = &env.Archive{}
	for _, tt := range []struct {
		name  string
		req   Request
		place Place
		inner string
	}{
		{"the cluster's", Request{Env: tar()}, Place{"/dev/sda", 3, ""}, "/var /var/log"},
		{"-p VAR", Request{Env: tar(), Partition: "VAR"}, Place{"/dev/sda", 0, "VAR"}, "/var/log"},
		{"-p 4", Request{Env: tar(), Partition: "4"}, Place{"/dev/sda", 4, ""}, "/var/log"},
		{"-b disk1, files", Request{Env: tar(), BlockDevice: "disk1"}, Place{"disk1", 3, ""}, "/var"},
		{"-b disk1, an image", Request{Env: dd, BlockDevice: "disk1"}, Place{"disk1", 0, ""}, ""},
		{"-b disk0", Request{Env: tar(), BlockDevice: "disk0"}, Place{"disk0", 3, ""}, "/var /var/log"},
		{"the environment's", Request{Env: with}, Place{"/dev/sda", 2, ""}, "/opt"},
		{"the environment's elsewhere", Request{Env: with, BlockDevice: "disk1"}, Place{"disk1", 2, ""}, "/opt"},
		{"a preinstall", Request{Env: pre}, Place{"/dev/sda", 3, ""}, ""},
		{"an image on a partition", Request{Env: dd}, Place{"/dev/sda", 3, ""}, ""},
		{"a reboot", Request{BlockDevice: "disk1"}, Place{"disk1", 0, ""}, ""},
	} {
		if diff := cmp.Diff(tt.place, tt.req.Place(c)); diff != "" {
			t.Errorf("%s: place (-want +got):\n%s", tt.name, diff)
		}
		var inner []string
		for _, p := range tt.req.Inner(c) {
			inner = append(inner, p.Mount)
		}
		if got := strings.Join(inner, " "); got != tt.inner {
			t.Errorf("%s: mounted inside are %q, want %q", tt.name, got, tt.inner)
		}
	}
}

// TestPartitionThatNoNodeWillHave: a partition that is not in the scheme is refused
// when the deployment is ordered, unless somebody else makes the table.
func TestPartitionThatNoNodeWillHave(t *testing.T) {
	const refused = "the built-in scheme of cluster c has no partition FOO; it has SWAP (1), PROD (2), DEPLOY (3), EFI (4), TMP (5), BIOS (6): choose one with -p, or make it"
	own := []layout.Part{{Label: "DEPLOY", Number: 3, Mount: "/"}, {Label: "LOG", Number: 1, Disk: "disk1"}, {Label: "FOO", Number: 4}}
	op := customops.Steps{Substitute: []customops.Op{{Name: "table", Action: customops.Exec, Command: "true"}}}
	for _, tt := range []struct {
		name      string
		partition string
		adapt     func(*Request, *cluster.Cluster)
		want      string
	}{
		{"label of nothing", "FOO", nil, refused},
		{"number of nothing", "9", nil, "has no partition 9;"},
		{"label", "PROD", nil, ""},
		{"number", "5", nil, ""},
		{"none", "", nil, ""},
		{"other disk", "FOO", func(r *Request, _ *cluster.Cluster) { r.BlockDevice = "disk1" }, refused},
		{"the cluster's layout", "FOO", func(_ *Request, c *cluster.Cluster) { c.Partitioning.Layout = own }, ""},
		{"not in the cluster's layout", "LOG", func(_ *Request, c *cluster.Cluster) { c.Partitioning.Layout = own }, "the layout of cluster c has no partition LOG; it has DEPLOY (3), FOO (4): "},
		{"the site's script", "FOO", func(_ *Request, c *cluster.Cluster) { c.Partitioning.Script = []byte("#!/bin/sh") }, ""},
		{"the table stays", "FOO", func(r *Request, _ *cluster.Cluster) { r.NoPartition = true }, ""},
		{"custom steps", "FOO", func(r *Request, _ *cluster.Cluster) {
			r.Operations = customops.Set{"SetDeploymentEnvUntrusted": {CreatePartitionTable: op}}
		}, ""},
		{"custom steps elsewhere", "FOO", func(r *Request, _ *cluster.Cluster) {
			r.Operations = customops.Set{"BroadcastEnvKascade": {Sync: op}}
		}, refused},
	} {
		c := &cluster.Cluster{Name: "c", Partitioning: cluster.Partitioning{BlockDevice: "/dev/sda", DiskID: "disk0", Swap: 1, Prod: 2, Deploy: 3, Tmp: 5}}
		r := &Request{Kind: Deploy, Partition: tt.partition, Env: &env.Description{OS: "linux", Filesystem: "ext4", Image: env.Image{Kind: "tar"}}}
		if tt.adapt != nil {
			tt.adapt(r, c)
		}
		_, err := NewPlan(r, ClusterNodes{Cluster: c, Nodes: []string{"n"}})
		switch {
		case tt.want == "" && err != nil:
			t.Errorf("%s: %v", tt.name, err)
		case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
}
