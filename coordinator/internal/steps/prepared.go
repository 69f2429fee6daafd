package steps

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"kadeploy/coordinator/internal/cluster"
	"kadeploy/coordinator/internal/layout"
	"kadeploy/coordinator/internal/workflow"
	agentv1 "kadeploy/proto/agent/v1"
)

// Frames is the form of a tar image in which nodes decompress it on all their
// processors: zstd frames, as proto/image/frames specifies them.
const Frames = "frames"

// Blocks is the form of a tar image in which it is a whole ext4 file system, whose
// blocks nodes write to their disks: proto/image/blocks.
const Blocks = "blocks"

// ErrNotPrepared is what a Preparer returns, wrapped, when there is simply no
// prepared form, and nothing went wrong.
var ErrNotPrepared = errors.New("no prepared form of the image is ready")

// Preparer has images in forms that nodes take faster.
type Preparer interface {
	// Prepared returns the image of a request in a form, and keeps it until the
	// workflow ends. An error says why the image is to be sent as it is.
	Prepared(ctx context.Context, req *workflow.Request, form string) (workflow.File, error)
}

// Forms are the forms in which a deployment on a cluster can use the image, the
// best first. Without a cluster they are those that some deployment might use.
func Forms(req *workflow.Request, c *cluster.Cluster) []string {
	if req.NoPrepare || req.Env.Image.Kind != "tar" {
		return nil
	}
	if wholeRoot(req, c) {
		return []string{Blocks, Frames}
	}
	return []string{Frames}
}

// wholeRoot tells whether the image alone is one ext4 file system: nothing is
// mounted inside of it, and nobody but this system says how it is made.
func wholeRoot(req *workflow.Request, c *cluster.Cluster) bool {
	e := req.Env
	if e.Filesystem != "ext4" || e.Multipart || e.Preinstall != nil || operated(req, c) {
		return false
	}
	if c == nil {
		return len(e.Options.Layout) == 0
	}
	// What the mini-OS is not to mount, the other steps leave alone, too.
	if known := c.MiniOS.Filesystems; len(known) > 0 && !slices.Contains(known, e.Filesystem) {
		return false
	}
	place := req.Place(c)
	return len(c.Partitioning.Format) == 0 && len(req.Inner(c)) == 0 &&
		!slices.ContainsFunc(req.Layout(c), func(p layout.Part) bool { return place.Is(p) && p.Mkfs != "" })
}

// beforeImage are the micro-steps at which a custom operation may have made or
// tuned the file system, mounted others inside of it, or put files there: blocks
// would undo it.
var beforeImage = []string{
	workflow.FormatDeployPart, workflow.MountDeployPart, workflow.FormatTmpPart, workflow.FormatSwapPart, workflow.SendEnvironment,
}

// operated tells whether a custom operation, of the user or of the site, is at one of them.
func operated(req *workflow.Request, c *cluster.Cluster) bool {
	for _, steps := range req.Operations {
		for _, name := range beforeImage {
			if len(steps[name].Ops()) > 0 {
				return true
			}
		}
	}
	if c == nil || req.Automaton != nil { // --force-steps has none of the site's
		return false
	}
	return slices.ContainsFunc(slices.Concat(c.Automaton.SetDeploymentEnv, c.Automaton.BroadcastEnv), func(in cluster.Instance) bool {
		return slices.ContainsFunc(in.Micro, func(m cluster.MicroOverride) bool {
			return slices.Contains(beforeImage, m.Name) && len(m.Operations.Ops()) > 0
		})
	})
}

// prepared finds the image in the best form that is there. Who failed once gets
// the image as it is: the form might be why.
func (s sendEnvironment) prepared(ctx context.Context, t *workflow.Task) (workflow.File, *agentv1.ReceiveOpen, bool) {
	if s.Preparer == nil || isRetry(t) {
		return workflow.File{}, nil, false
	}
	for _, form := range Forms(t.Request, t.Cluster) {
		file, err := s.Preparer.Prepared(ctx, t.Request, form)
		switch {
		case err == nil:
			t.Note(4, fmt.Sprintf("The image is sent in its prepared form (%s): %d bytes instead of %d", form, file.Size, t.Request.Files.Image.Size))
			return file, s.preparedSink(t, form), true
		case errors.Is(err, ErrNotPrepared):
			t.Note(4, fmt.Sprintf("The image is sent as it is (%s): %v", form, err))
		default:
			t.Note(3, fmt.Sprintf("The image could not be prepared (%s) and is sent as it is: %v", form, err))
		}
	}
	return workflow.File{}, nil, false
}

// isRetry tells that an earlier instance of the macro-step, or an earlier attempt of this one, has failed.
func isRetry(t *workflow.Task) bool {
	instances := t.Cluster.Automaton.BroadcastEnv
	if t.Request.Automaton != nil {
		instances = t.Request.Automaton.BroadcastEnv
	}
	return t.Attempt > 0 || len(instances) > 0 && instances[0].Name != t.Instance
}

// preparedSink is what a node does with a prepared image.
func (s sendEnvironment) preparedSink(t *workflow.Task, form string) *agentv1.ReceiveOpen {
	open := &agentv1.ReceiveOpen{Name: "image"}
	if form == Blocks {
		open.Sink = &agentv1.ReceiveOpen_Blocks{Blocks: &agentv1.BlocksSink{
			Target: rootTarget(t), Root: s.ExtractionDir, Arguments: s.MkfsArguments[t.Request.Env.Filesystem],
		}}
		return open
	}
	// Frames are an ordinary zstd file; the node sees the index in it.
	open.Sink = &agentv1.ReceiveOpen_Tar{Tar: &agentv1.TarSink{
		Root: s.ExtractionDir, Compression: "zstd", Clean: t.Again && t.Request.Env.Preinstall == nil && !operated(t.Request, t.Cluster),
	}}
	return open
}
