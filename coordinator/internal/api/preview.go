package api

import (
	"context"

	"kadeploy/coordinator/internal/stats"
	"kadeploy/coordinator/internal/workflow"
)

// History knows how long micro-steps took before.
type History interface {
	Expected(ctx context.Context, p stats.Passage) (stats.Expectation, error)
}

// Sizes looks at files without reading them.
type Sizes interface {
	// Size is in bytes; -1 if who has the file does not tell.
	Size(ctx context.Context, f FileRequest) (int64, error)
}

// preview answers a dry run that asks for the plan.
func (s *server) preview(c *call, req *workflow.Request) (any, error) {
	p, err := workflow.NewPreview(req)
	if err != nil {
		return nil, err
	}
	if s.Sizes != nil {
		size, err := s.Sizes.Size(c.ctx, FileRequest{URI: p.Image.File, Client: c.text("client"), Caller: c.caller, What: "image"})
		switch {
		case err != nil:
			p.Image.Problem = err.Error()
		case size >= 0:
			p.Image.Bytes = &size
		}
	}
	if s.History != nil {
		err = p.Expect(func(cluster, instance, micro string) (float64, int, error) {
			e, err := s.History.Expected(c.ctx, stats.Passage{
				Cluster: cluster, Env: p.Environment, EnvOwner: req.EnvOwner, Anonymous: req.EnvID < 0, Instance: instance, Micro: micro,
			})
			return e.Seconds, e.Operations, err
		})
	}
	return p, err
}

// plan checks that a request can be planned.
func plan(req *workflow.Request) error {
	for _, group := range req.Clusters {
		if _, err := workflow.NewPlan(req, group); err != nil {
			return err
		}
	}
	return nil
}
