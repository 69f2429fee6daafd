package steps

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"google.golang.org/grpc"

	"kadeploy/coordinator/internal/env"
	"kadeploy/coordinator/internal/workflow"
	agentv1 "kadeploy/proto/agent/v1"
)

// grub is an agent that notes which scripts it runs, and what else it does itself.
type grub struct {
	agentv1.AgentClient
	asked  []string
	status int32
}

func (g *grub) end() *ending {
	return &ending{replies: stream{{Kind: &agentv1.RunReply_Exit{Exit: &agentv1.Exit{Status: g.status}}}}}
}

func (g *grub) Run(_ context.Context, r *agentv1.RunRequest, _ ...grpc.CallOption) (grpc.ServerStreamingClient[agentv1.RunReply], error) {
	g.asked = append(g.asked, fmt.Sprintf("run %s%s: %s %s", r.GetScript(), r.GetCommand(), r.Environment["KADEPLOY_BOOTLOADER_SKIP"], r.Environment["BOOTLOADER_SKIP"]))
	return g.end(), nil
}

func (g *grub) InstallBootloader(_ context.Context, r *agentv1.InstallBootloaderRequest, _ ...grpc.CallOption) (grpc.ServerStreamingClient[agentv1.RunReply], error) {
	g.asked = append(g.asked, fmt.Sprintf("grub %s %s %s: %s %q", r.Root, r.Kernel, r.Hypervisor, r.Environment["BOOTLOADER_SKIP"], r.Environment["OTHER"]))
	return g.end(), nil
}

func (g *grub) Format(_ context.Context, r *agentv1.FormatRequest, _ ...grpc.CallOption) (*agentv1.FormatReply, error) {
	g.asked = append(g.asked, fmt.Sprintf("format %d as %s", r.Target.Partition, r.Filesystem))
	return &agentv1.FormatReply{}, nil
}

// TestSiteScripts: what a site has a script for, that script does; else the agent does it.
func TestSiteScripts(t *testing.T) {
	for _, c := range []struct {
		micro  string
		script bool
		want   string
	}{
		{workflow.InstallBootloader, false, `grub /mnt/dest /vmlinuz /xen: 1 ""`},
		{workflow.InstallBootloader, true, "run bootloader: 1 1"},
		{workflow.FormatDeployPart, false, "format 3 as ext4"},
		{workflow.FormatDeployPart, true, "run formatting: 1 "},
		{workflow.FormatSwapPart, true, "format 1 as swap"},
		{workflow.StartupScript, true, "run startup: 1 "},
	} {
		g := &grub{}
		tk := task("/dev/vda", workflow.Request{
			Env:       &env.Description{Filesystem: "ext4", Boot: env.Boot{Kernel: "/vmlinuz", Hypervisor: "/xen"}},
			Variables: map[string]string{"BOOTLOADER_SKIP": "1", "OTHER": "x"},
		})
		tk.Nodes, tk.Micro = []string{"a"}, c.micro
		if c.script {
			tk.Cluster.Bootloader, tk.Cluster.Partitioning.Format, tk.Cluster.Startup = []byte("bootloader"), []byte("formatting"), []byte("startup")
		}
		All(Config{Agents: crew{g}, ExtractionDir: "/mnt/dest"})[c.micro].Run(t.Context(), tk, func(_ string, err error) {
			if err != nil {
				t.Errorf("%s: %v", c.micro, err)
			}
		})
		if got := strings.Join(g.asked, "; "); got != c.want {
			t.Errorf("%s: %s, want %s", c.micro, got, c.want)
		}
	}
}

func TestDriversAreLoadedIfTheyCan(t *testing.T) {
	g := &grub{status: 1}
	tk := task("/dev/vda", workflow.Request{})
	tk.Cluster.MiniOS.Drivers = []string{"sata_nv", "gone"}
	var notes []string
	tk.Note = func(_ int, text string) { notes = append(notes, text) }
	waitReboot{nodes{Config{Agents: crew{g}}}}.loadDrivers(t.Context(), tk, "a")
	if got := strings.Join(g.asked, ";"); !strings.HasPrefix(got, "run modprobe -a sata_nv gone") {
		t.Errorf("asked: %s", got)
	}
	if len(notes) != 1 || !strings.Contains(notes[0], "a: load the drivers of the site: exit status 1") {
		t.Errorf("notes: %q", notes)
	}
}
