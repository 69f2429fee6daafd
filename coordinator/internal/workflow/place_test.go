package workflow

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kadeploy/coordinator/internal/cluster"
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
