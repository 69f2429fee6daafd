package steps

import (
	"context"
	"errors"
	"fmt"

	"kadeploy/coordinator/internal/cluster"
	"kadeploy/coordinator/internal/workflow"
	agentv1 "kadeploy/proto/agent/v1"
)

// Frames is the form of a tar image in which nodes decompress it on all their
// processors: zstd frames, as proto/image/frames specifies them.
const Frames = "frames"

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
func Forms(req *workflow.Request, _ *cluster.Cluster) []string {
	if req.NoPrepare || req.Env.Image.Kind != "tar" {
		return nil
	}
	return []string{Frames}
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
func (s sendEnvironment) preparedSink(_ *workflow.Task, _ string) *agentv1.ReceiveOpen {
	// Frames are an ordinary zstd file; the node sees the index in it.
	return &agentv1.ReceiveOpen{Name: "image", Sink: &agentv1.ReceiveOpen_Tar{
		Tar: &agentv1.TarSink{Root: s.ExtractionDir, Compression: "zstd"},
	}}
}
