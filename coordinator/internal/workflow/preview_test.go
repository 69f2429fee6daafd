package workflow

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kadeploy/coordinator/internal/cluster"
	"kadeploy/coordinator/internal/env"
)

func previewed(change func(r *Request)) *Request {
	r := &Request{
		Kind: Deploy, User: "alice", EnvOwner: "root",
		Clusters: []ClusterNodes{{
			Cluster: &cluster.Cluster{
				Name: "lab", Kexec: true, MiniOS: cluster.MiniOS{Filesystems: []string{"ext4"}},
				Partitioning: cluster.Partitioning{BlockDevice: "/dev/vda", DiskID: "disk0", Deploy: 3, Swap: 1, Prod: 2, Tmp: 5},
				Automaton: cluster.Automaton{
					SetDeploymentEnv: []cluster.Instance{{Name: "SetDeploymentEnvUntrusted", Timeout: 200 * time.Second, Retries: 1}},
					BroadcastEnv:     []cluster.Instance{{Name: "BroadcastEnvKascade"}},
					BootNewEnv:       []cluster.Instance{{Name: "BootNewEnvKexec"}, {Name: "BootNewEnvHardReboot"}},
				},
			},
			Nodes: []string{"n1", "n2"},
		}},
		Env: &env.Description{Name: "debian", Version: 3, OS: "linux", Filesystem: "ext4", Image: env.Image{File: "server:///x", Kind: "tar"}},
	}
	if change != nil {
		change(r)
	}
	return r
}

func TestErased(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(r *Request)
		want   string
	}{
		{"the usual", nil, "whole /dev/vda by create_partition_table, /dev/vda3 by format_deploy_part, /dev/vda1 by format_swap_part"},
		{"table kept", func(r *Request) { r.NoPartition = true }, "/dev/vda3 by format_deploy_part, /dev/vda1 by format_swap_part"},
		{"another partition", func(r *Request) { r.NoPartition, r.Partition = true, "2" }, "/dev/vda2 by format_deploy_part, /dev/vda1 by format_swap_part"},
		{"a label", func(r *Request) { r.NoPartition, r.Partition = true, "PROD" }, "disk0/PROD by format_deploy_part, /dev/vda1 by format_swap_part"},
		{"a label of another disk", func(r *Request) {
			r.NoPartition, r.Partition, r.BlockDevice, r.Env.OS = true, "TMP", "disk1", "other"
		}, "disk1/TMP by format_deploy_part"},
		{"an image of a partition", func(r *Request) { r.NoPartition, r.Env.Image.Kind, r.Env.OS = true, "dd", "other" }, "/dev/vda3 by send_environment"},
		{"a whole disk", func(r *Request) { r.BlockDevice, r.Env.Image.Kind = "/dev/nvme1n1", "dd" }, "whole /dev/nvme1n1 by send_environment"},
		{"a partition of another disk", func(r *Request) { r.NoPartition, r.BlockDevice, r.Partition = true, "/dev/nvme1n1", "4" },
			"/dev/nvme1n1p4 by format_deploy_part, /dev/nvme1n1p1 by format_swap_part"},
		{"the partition for /tmp", func(r *Request) { r.NoPartition, r.ReformatTmp = true, "ext4" }, "/dev/vda3 by format_deploy_part, /dev/vda5 by format_tmp_part, /dev/vda1 by format_swap_part"},
		{"several partitions", func(r *Request) {
			r.NoPartition, r.Env.Multipart = true, true
			r.Env.Options.Partitions = []env.Partition{{ID: 0, Device: "/dev/vda3"}, {ID: 1, Device: "/dev/vdb1"}}
		}, "/dev/vda3 by format_deploy_part, /dev/vdb1 by format_deploy_part"},
	} {
		p, err := NewPreview(previewed(test.change))
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		var got []string
		for _, e := range p.Clusters[0].Erased {
			text := e.Device + " by " + e.By
			if e.Whole {
				text = "whole " + text
			}
			got = append(got, text)
		}
		if d := cmp.Diff(test.want, strings.Join(got, ", ")); d != "" {
			t.Errorf("%s:\n%s", test.name, d)
		}
	}
}

func TestPreviewExpects(t *testing.T) {
	p, err := NewPreview(previewed(nil))
	if err != nil {
		t.Fatal(err)
	}
	asked := make(map[string]bool)
	err = p.Expect(func(cluster, instance, micro string) (float64, int, error) {
		asked[instance] = true
		if instance == "BootNewEnvHardReboot" {
			return 0, 0, nil // never needed so far
		}
		return 2, 3, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	c := p.Clusters[0]
	steps := 0
	for _, m := range c.Macros {
		steps += len(m.Instances[0].Micros)
	}
	if c.Seconds == nil || *c.Seconds != 2*float64(steps) {
		t.Errorf("all is expected to take %v, want %d steps of 2 s", c.Seconds, steps)
	}
	boot := c.Macros[2].Instances
	if len(asked) != 4 || boot[1].Seconds != nil || boot[1].Micros[0].Seconds != nil || *boot[0].Micros[0].Seconds != 2 || boot[0].Micros[0].Operations != 3 {
		t.Errorf("asked of %v, answers %+v", asked, boot)
	}
	boom := fmt.Errorf("boom")
	if err := p.Expect(func(_, _, _ string) (float64, int, error) { return 0, 0, boom }); err != boom {
		t.Errorf("Expect = %v, want the error of who was asked", err)
	}
	if _, err := NewPreview(&Request{Kind: Reboot}); err == nil {
		t.Error("a reboot has a preview")
	}
}
