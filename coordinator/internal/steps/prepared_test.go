package steps

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"kadeploy/coordinator/internal/cluster"
	"kadeploy/coordinator/internal/customops"
	"kadeploy/coordinator/internal/env"
	"kadeploy/coordinator/internal/layout"
	"kadeploy/coordinator/internal/workflow"
)

// shelf has one prepared image, or a reason why it has none.
type shelf struct {
	file workflow.File
	err  error
}

func (s shelf) Prepared(context.Context, *workflow.Request, string) (workflow.File, error) {
	return s.file, s.err
}

// Which of its forms an image is sent in, and what the nodes are told that it is.
func TestFormOfTheImage(t *testing.T) {
	original, frames := workflow.File{Path: "image.tar.gz", Size: 100}, workflow.File{Path: "image.frames", Size: 90}
	ready := shelf{file: frames}
	for name, c := range map[string]struct {
		preparer Preparer
		change   func(t *workflow.Task)
		want     workflow.File
		kind     string // compression that the nodes are told
		note     string
	}{
		"prepared":         {preparer: ready, want: frames, kind: "zstd", note: "prepared form (frames): 90 bytes instead of 100"},
		"none is ready":    {preparer: shelf{err: fmt.Errorf("%w: wait", ErrNotPrepared)}, want: original, kind: "gzip", note: "is sent as it is (frames)"},
		"failed":           {preparer: shelf{err: errors.New("disk full")}, want: original, kind: "gzip", note: "could not be prepared (frames) and is sent as it is: disk full"},
		"site has it off":  {want: original, kind: "gzip"},
		"user has it off":  {preparer: ready, change: func(t *workflow.Task) { t.Request.NoPrepare = true }, want: original, kind: "gzip"},
		"second attempt":   {preparer: ready, change: func(t *workflow.Task) { t.Attempt = 1 }, want: original, kind: "gzip"},
		"another instance": {preparer: ready, change: func(t *workflow.Task) { t.Instance = "BroadcastEnvTree" }, want: original, kind: "gzip"},
		"second attempt over a user's mount": {preparer: ready, change: func(t *workflow.Task) {
			t.Attempt = 1
			t.Request.Operations = customops.Set{"SetDeploymentEnv": {"mount_deploy_part": {Post: []customops.Op{{Name: "data", Action: customops.Exec}}}}}
		}, want: original, kind: "gzip"},
		"forced steps": {preparer: ready, change: func(t *workflow.Task) {
			t.Instance = "BroadcastEnvTree"
			t.Request.Automaton = &cluster.Automaton{BroadcastEnv: []cluster.Instance{{Name: "BroadcastEnvTree"}}}
		}, want: frames, kind: "zstd", note: "prepared form"},
	} {
		t.Run(name, func(t *testing.T) {
			var notes []string
			task := &workflow.Task{
				Request: &workflow.Request{
					Env:   &env.Description{Image: env.Image{Kind: "tar", Compression: "gzip"}, Filesystem: "xfs"},
					Files: workflow.Files{Image: original},
				},
				Cluster: &cluster.Cluster{Automaton: cluster.Automaton{
					BroadcastEnv: []cluster.Instance{{Name: "BroadcastEnvKascade"}, {Name: "BroadcastEnvTree"}},
				}},
				Instance: "BroadcastEnvKascade",
				Note:     func(_ int, text string) { notes = append(notes, text) },
			}
			if c.change != nil {
				c.change(task)
			}
			s := sendEnvironment{nodes{Config: Config{Preparer: c.preparer}}}
			file, open, err := s.image(t.Context(), task)
			if err != nil {
				t.Fatal(err)
			}
			// What failed before has left something, whichever instance it was.
			if again := name == "second attempt" || name == "another instance"; open.GetTar().GetClean() != again {
				t.Errorf("the directory is emptied: %t, want %t", !again, again)
			}
			if file.Path != c.want.Path || open.GetTar().GetCompression() != c.kind {
				t.Errorf("image = %s as %s, want %s as %s", file.Path, open.GetTar().GetCompression(), c.want.Path, c.kind)
			}
			text := strings.Join(notes, "\n")
			if c.note == "" && text != "" || !strings.Contains(text, c.note) {
				t.Errorf("notes %q, want %q", text, c.note)
			}
		})
	}
}

// Blocks are for a root that is one ext4 file system and nothing else.
func TestFormsOfARoot(t *testing.T) {
	for name, c := range map[string]struct {
		change func(req *workflow.Request, c *cluster.Cluster)
		want   string
	}{
		"plain":              {nil, "blocks frames"},
		"xfs":                {func(req *workflow.Request, _ *cluster.Cluster) { req.Env.Filesystem = "xfs" }, "frames"},
		"dd":                 {func(req *workflow.Request, _ *cluster.Cluster) { req.Env.Image.Kind = "dd" }, ""},
		"not prepared":       {func(req *workflow.Request, _ *cluster.Cluster) { req.NoPrepare = true }, ""},
		"several partitions": {func(req *workflow.Request, _ *cluster.Cluster) { req.Env.Multipart = true }, "frames"},
		"preinstall":         {func(req *workflow.Request, _ *cluster.Cluster) { req.Env.Preinstall = &env.Archive{} }, "frames"},
		"formatting script":  {func(_ *workflow.Request, c *cluster.Cluster) { c.Partitioning.Format = []byte("x") }, "frames"},
		"var of its own": {func(_ *workflow.Request, c *cluster.Cluster) {
			c.Partitioning.Layout = append(c.Partitioning.Layout, layout.Part{Number: 4, Label: "VAR", Filesystem: "ext4", Mount: "/var"})
		}, "frames"},
		"the user mounts more": {func(req *workflow.Request, _ *cluster.Cluster) {
			req.Operations = customops.Set{"SetDeploymentEnvUntrusted": {"mount_deploy_part": {Post: []customops.Op{{Name: "mount", Action: customops.Run}}}}}
		}, "frames"},
		"the user skips the reboot": {func(req *workflow.Request, _ *cluster.Cluster) {
			req.Operations = customops.Set{"SetDeploymentEnv": {"reboot": {Substitute: []customops.Op{{Name: "nothing", Action: customops.Exec}}}}}
		}, "blocks frames"},
		"the site tunes": {func(_ *workflow.Request, c *cluster.Cluster) {
			c.Automaton.SetDeploymentEnv = []cluster.Instance{{Name: "SetDeploymentEnvUntrusted", Micro: []cluster.MicroOverride{
				{Name: "format_deploy_part", Operations: customops.Steps{Post: []customops.Op{{Name: "tune", Action: customops.Exec}}}},
			}}}
		}, "frames"},
		"not for the mini-OS":  {func(_ *workflow.Request, c *cluster.Cluster) { c.MiniOS.Filesystems = []string{"xfs"} }, "frames"},
		"arguments of its own": {func(_ *workflow.Request, c *cluster.Cluster) { c.Partitioning.Layout[0].Mkfs = "-m 0" }, "frames"},
	} {
		req := &workflow.Request{Env: &env.Description{Image: env.Image{Kind: "tar"}, Filesystem: "ext4"}}
		on := &cluster.Cluster{Partitioning: cluster.Partitioning{
			BlockDevice: "/dev/vda", Deploy: 3, Layout: []layout.Part{{Number: 3, Label: "DEPLOY", Mount: layout.Root}},
		}}
		if c.change != nil {
			c.change(req, on)
		}
		if got := strings.Join(Forms(req, on), " "); got != c.want {
			t.Errorf("%s: forms %q, want %q", name, got, c.want)
		}
	}
}
