package service

import (
	"context"

	"kadeploy/agent/internal/blockroot"
	"kadeploy/agent/internal/disk"
	"kadeploy/agent/internal/image"
	agentv1 "kadeploy/proto/agent/v1"
)

// blocksSink replaces a root file system by the blocks of another one. All of it
// is part of the sink: the chain waits for that, and takes a failure for one of the image.
func (s *Service) blocksSink(ctx context.Context, r *agentv1.BlocksSink) (*image.Sink, error) {
	work, err := blockroot.New(s.host(), blockroot.Root{
		Target: target(r.Target), Point: r.Root, Options: r.Options, Label: r.Label, Arguments: disk.Words(r.Arguments),
	})
	if err != nil {
		return nil, err
	}
	return image.NewBlocksSink(ctx, image.BlocksOptions{
		Device: work.Device(), Begin: work.Begin, Finish: work.Finish, Undo: work.Undo,
	}), nil
}
