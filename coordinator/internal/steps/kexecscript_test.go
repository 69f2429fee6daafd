package steps

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/grpc"

	"kadeploy/coordinator/internal/cluster"
	"kadeploy/coordinator/internal/env"
	"kadeploy/coordinator/internal/workflow"
	agentv1 "kadeploy/proto/agent/v1"
)

// clerk is a site whose commands are noted.
type clerk struct {
	ran []string
	err error
}

func (c *clerk) Run(_ context.Context, line string) (stdout, stderr string, err error) {
	c.ran = append(c.ran, line)
	return "", "", c.err
}

// jumper is an agent that notes how it is told to leave.
type jumper struct {
	agentv1.AgentClient
	asked []string
}

func (j *jumper) Run(_ context.Context, r *agentv1.RunRequest, _ ...grpc.CallOption) (grpc.ServerStreamingClient[agentv1.RunReply], error) {
	replies := stream{{Kind: &agentv1.RunReply_Exit{Exit: &agentv1.Exit{}}}}
	if strings.HasPrefix(r.GetCommand(), "blkid") {
		j.asked = append(j.asked, "blkid")
		output := &agentv1.RunReply{Kind: &agentv1.RunReply_Stdout{Stdout: []byte("1234\n")}}
		return &ending{replies: append(stream{output}, replies...)}, nil
	}
	e := r.Environment
	j.asked = append(j.asked, string(r.GetScript())+": "+e["KADEPLOY_KEXEC_KERNEL"]+" "+e["KADEPLOY_KEXEC_INITRD"]+" "+e["KADEPLOY_KEXEC_PARAMS"])
	return &ending{replies: replies}, nil
}

func (j *jumper) Kexec(context.Context, *agentv1.KexecRequest, ...grpc.CallOption) (*agentv1.KexecReply, error) {
	j.asked = append(j.asked, "built-in")
	return &agentv1.KexecReply{}, nil
}

func TestKexecIntoTheDeployedSystem(t *testing.T) {
	script := []byte("jump")
	for _, c := range []struct {
		name   string
		load   cluster.Loading
		initrd string
		params string
		refuse error
		want   string // of the node
		site   string
		err    string
	}{
		{"built-in", cluster.Loading{}, "/initrd.img", "", nil, "built-in", "", ""},
		{"a script", cluster.Loading{Script: script}, "/initrd.img", "quiet", nil, "blkid;jump: /mnt/dest/vmlinuz /mnt/dest/initrd.img root=UUID=1234 console=ttyS0 quiet", "", ""},
		{"no initrd", cluster.Loading{Script: script}, "", "", nil, "blkid;jump: /mnt/dest/vmlinuz  root=PARTUUID=1234 console=ttyS0", "", ""},
		{"a root of its own", cluster.Loading{Script: script}, "", "quiet root=/dev/sdx", nil, "jump: /mnt/dest/vmlinuz  console=ttyS0 quiet root=/dev/sdx", "", ""},
		{"a command before", cluster.Loading{Before: "note HOSTNAME_SHORT HOSTNAME_FQDN"}, "", "", nil, "built-in", "note a a.lab", ""},
		{"a command that fails", cluster.Loading{Before: "note", Script: script}, "", "", errors.New("exit status 3"), "", "note", "kexec.server_precmd: exit status 3"},
	} {
		j, site := &jumper{}, &clerk{err: c.refuse}
		tk := task("/dev/vda", workflow.Request{Env: &env.Description{Boot: env.Boot{Kernel: "/vmlinuz", Initrd: c.initrd, KernelParams: c.params}}})
		tk.Cluster.Loading = c.load
		n := nodes{Config{Agents: crew{j}, Boots: &machine{}, Site: site, ExtractionDir: "/mnt/dest"}}
		err := kexec{n}.do(t.Context(), tk, "a.lab")
		if (err == nil) != (c.err == "") || err != nil && err.Error() != c.err {
			t.Errorf("%s: error %v, want %q", c.name, err, c.err)
		}
		if got := strings.Join(j.asked, ";"); got != c.want {
			t.Errorf("%s: the node did %q, want %q", c.name, got, c.want)
		}
		if got := strings.Join(site.ran, ";"); got != c.site {
			t.Errorf("%s: the site ran %q, want %q", c.name, got, c.site)
		}
	}
}

// TestKexecScriptIntoTheMiniOS: the site's script does what kexec is called for otherwise.
func TestKexecScriptIntoTheMiniOS(t *testing.T) {
	dir := t.TempDir()
	content := map[string]string{"vmlinuz": "kernel", "initrd": "init", "overlay": "rd"}
	for name, text := range content {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	h, site := &host{path: tools(t, nil, basics...)}, &clerk{}
	n := nodes{Config{Agents: absent{}, Boots: &machine{}, Remote: h, Kernels: repository{"", content}, Site: site}}
	tk := task("/dev/vda", workflow.Request{})
	tk.Instance, tk.Argument = "SetDeploymentEnvTrusted", workflow.ToDeploy
	tk.Cluster.Nodes = []cluster.Node{{Name: "n1.lab", Address: netip.MustParseAddr("10.0.0.1")}}
	tk.Cluster.Loading = cluster.Loading{
		Directory: dir, Before: "note HOSTNAME_SHORT",
		Script: []byte("#!/bin/sh\nprintf '%s,%s,%s,%s' \"${KADEPLOY_KEXEC_KERNEL##*/}\" \"$(cat \"$KADEPLOY_KEXEC_INITRD\")\" \"$KADEPLOY_KEXEC_PARAMS\" \"$KADEPLOY_CLUSTER\" >left\n"),
	}
	if err := (kexec{n}).do(t.Context(), tk, "n1.lab"); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(filepath.Join(dir, "left"))
	if err != nil {
		t.Fatal(err)
	}
	if want := "vmlinuz,initrd,kadeploy.node=n1.lab kadeploy.token='t',lab"; string(got) != want {
		t.Errorf("the script had %s, want %s", got, want)
	}
	if strings.Join(site.ran, ";") != "note n1" {
		t.Errorf("the site ran %q", site.ran)
	}
}
