package broadcast

import (
	"context"
	"fmt"
	"log/slog"

	"kadeploy/coordinator/internal/steps"
	"kadeploy/coordinator/internal/workflow"
	"kadeploy/kascade"
)

// Service does the transfers of micro-steps; the zero value works.
type Service struct {
	Logger  *slog.Logger
	Options kascade.HeadOptions
}

// Broadcast does one transfer.
func (s Service) Broadcast(ctx context.Context, t steps.Transfer) (*steps.Delivery, error) {
	manifest, err := kascade.DecodeManifest(t.File.Manifest)
	if err != nil {
		return nil, fmt.Errorf("broadcast %s: %w", t.File.Path, err)
	}
	job := Job{Path: t.File.Path, Manifest: manifest, Open: t.Open, Options: s.Options}
	for _, r := range t.Nodes {
		job.Targets = append(job.Targets, Target{Node: r.Node, Address: r.Address.String(), Agent: r.Agent})
	}
	if t.Progress != nil {
		job.Options.Progress = func(p kascade.Progress) { t.Progress(picture(p)) }
	}
	out, err := Send(ctx, job, s.Logger)
	if err != nil {
		return nil, err
	}
	return &steps.Delivery{Nodes: out.Nodes, Sent: out.Sent, Elapsed: out.Elapsed}, nil
}

// picture is what a display needs of the chain's state: the last byte that every
// living node has, the rate of the slowest, and which one that is if another waits for it.
func picture(p kascade.Progress) workflow.Progress {
	out := workflow.Progress{Total: p.Size, Done: -1, Nodes: make(map[string]int64, len(p.Nodes))}
	for i, n := range p.Nodes {
		out.Nodes[n.Name] = n.Consumed
		if n.State == kascade.Failed {
			continue
		}
		if out.Done < 0 || n.Received < out.Done {
			out.Done, out.Rate = n.Received, n.Rate
		}
		holds := n.Full && (i+1 == len(p.Nodes) || !p.Nodes[i+1].Full)
		if holds && out.Slowest == "" {
			out.Slowest, out.Reason = n.Name, "its disk, or what writes to it, does not keep up"
		}
	}
	out.Done = max(out.Done, 0)
	return out
}
