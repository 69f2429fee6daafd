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
	return &steps.Delivery{Nodes: out.Nodes, Sent: out.Sent, Elapsed: out.Elapsed, Slow: slow(out.Slow, s.Options.Slow.Mode)}, nil
}

// picture is what a display needs of the chain's state: the last byte that every
// living node has, what the chain moves now, and which node holds it up, if one does.
func picture(p kascade.Progress) workflow.Progress {
	out := workflow.Progress{Total: p.Size, Done: -1, Rate: p.Rate, Nodes: make(map[string]int64, len(p.Nodes)), Slowest: p.Slowest, Reason: p.Why}
	for _, n := range p.Nodes {
		out.Nodes[n.Name] = n.Consumed
		if n.State != kascade.Failed && (out.Done < 0 || n.Received < out.Done) {
			out.Done = n.Received
		}
	}
	out.Done = max(out.Done, 0)
	return out
}

// slow says of each node that held the chain up what was slow, and what was done about it.
func slow(nodes []kascade.SlowNode, mode kascade.SlowMode) []string {
	var notes []string
	for _, n := range nodes {
		text := fmt.Sprintf("%s was slow: %s", n.Name, n.Cause)
		switch {
		case n.Side:
			text += "; it was fed apart from the others"
		case mode == kascade.SlowDrop:
			text += "; it was dropped"
		default:
			text += "; the others waited for it"
		}
		notes = append(notes, text)
	}
	return notes
}
