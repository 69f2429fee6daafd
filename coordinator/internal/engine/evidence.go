package engine

import (
	"context"
	"fmt"
	"time"

	"kadeploy/coordinator/internal/cluster"
	"kadeploy/coordinator/internal/workflow"
)

// Witness tells what a node's console and its agent said last; either may be
// empty. It is asked while the node may already be on its way elsewhere, so it
// has to be quick, and must not fail an operation.
type Witness interface {
	Last(ctx context.Context, c *cluster.Cluster, node string) (console, agent string)
}

// Stories keeps what is to be known of workflows that are over.
type Stories interface {
	Keep(ctx context.Context, s *workflow.Story) error
}

const (
	// evidenceTime is how long a witness may take for one node.
	evidenceTime = 8 * time.Second
	// evidenceAtOnce is how many nodes of all workflows are asked about at once.
	evidenceAtOnce = 8
	// evidenceMost is of how many failures of one workflow evidence is kept: when a
	// whole cluster fails, the first ones tell why.
	evidenceMost = 64
)

// inquire asks the witness about nodes that failed. f.mu is held.
func (f *flow) inquire(p *part, now time.Time, n workflow.NodesFailed) {
	for _, node := range n.Nodes {
		if f.engine.cfg.Witness == nil || f.following || len(f.evidence) >= evidenceMost {
			return
		}
		e := &workflow.Evidence{
			Node: node, Cluster: p.cluster.Name, Macro: n.Run.Macro, Instance: n.Run.Instance, Micro: n.Micro,
			Attempt: n.Run.Attempt, Time: now, Reason: n.Reason,
		}
		f.evidence = append(f.evidence, e)
		f.inquiries.Go(func() {
			ctx, cancel := context.WithTimeout(context.Background(), evidenceTime)
			defer cancel()
			select {
			case f.engine.inquiring <- struct{}{}:
				defer func() { <-f.engine.inquiring }()
			case <-ctx.Done():
				return
			}
			console, agent := f.engine.cfg.Witness.Last(ctx, p.cluster, node)
			f.mu.Lock()
			e.Console, e.Agent = clip(console), clip(agent)
			f.mu.Unlock()
		})
	}
}

// story is what is known of the workflow now.
func (f *flow) story() *workflow.Story {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := &workflow.Story{
		ID: f.req.ID, Kind: f.req.Kind, User: f.req.User, Started: f.started, Ended: f.ended,
		Spans: append([]workflow.Span{}, f.book.spans...), Failures: []workflow.Evidence{},
	}
	if e := f.req.Env; e != nil {
		s.Env = fmt.Sprintf("%s:%d", e.Name, e.Version)
	}
	for _, e := range f.evidence {
		s.Failures = append(s.Failures, *e)
	}
	return s
}

// keepStory stores the story of a workflow that has just come to its end.
func (f *flow) keepStory(ctx context.Context) {
	f.inquiries.Wait() // each has its time limit
	if f.engine.cfg.Stories == nil || !f.begun || f.refused {
		return
	}
	s := f.story()
	s.Ended = time.Now()
	if err := f.engine.cfg.Stories.Keep(ctx, s); err != nil {
		f.logger.Error("the timeline of a workflow could not be stored", "error", err)
	}
}
