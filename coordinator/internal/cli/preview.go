package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"kadeploy/coordinator/internal/client"
	"kadeploy/coordinator/internal/ui"
	"kadeploy/coordinator/internal/workflow"
)

// sendForPlan asks what a deployment would do, and prints it.
func (d *deploy) sendForPlan(ctx context.Context, s *session, body map[string]any, _ *client.Operation) error {
	body["plan"] = true
	var p *workflow.Preview
	if err := s.Post(ctx, "/deployment/", body, &p); err != nil || p == nil { // an older server does not tell
		return err
	}
	if d.json {
		return json.NewEncoder(s.app.Stdout).Encode(p)
	}
	_, err := io.WriteString(s.app.Stdout, previewText(p))
	return err
}

// previewText is a plan for people.
func previewText(p *workflow.Preview) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Environment %s of %s\n", p.Environment, p.Owner)
	size := "of unknown size"
	switch {
	case p.Image.Problem != "":
		size = "PROBLEM: " + p.Image.Problem
	case p.Image.Bytes != nil:
		size = ui.Bytes(float64(*p.Image.Bytes))
	}
	fmt.Fprintf(&b, "Image %s, %s, %s\n", p.Image.File, p.Image.Kind, size)
	if p.Resumes != "" {
		fmt.Fprintf(&b, "Resumes %s\n", p.Resumes)
	}
	for _, c := range p.Clusters {
		fmt.Fprintf(&b, "\nCluster %s: %s, %s\n", c.Cluster, count(len(c.Nodes), "node"), fold(c.Nodes))
		if len(c.Ready) > 0 {
			fmt.Fprintf(&b, "  still in the mini-OS, beginning with %s: %s\n", workflow.BroadcastEnv, fold(c.Ready))
		}
		for _, e := range c.Erased {
			what := "partition"
			if e.Whole {
				what = "the whole disk"
			}
			fmt.Fprintf(&b, "  ERASED on each node: %s %s (%s)\n", what, e.Device, e.By)
		}
		for _, p := range c.Layout {
			fmt.Fprintf(&b, "  partition on each node: %s\n", p)
		}
		fmt.Fprintf(&b, "  %-58s %s\n", "", "expected")
		for i, m := range c.Macros {
			for k, in := range m.Instances {
				writeInstance(&b, i+1, k > 0, in)
			}
		}
		fmt.Fprintf(&b, "  %-58s %s\n", "all, if each step goes well the first way", expected(c.Seconds))
	}
	return b.String()
}

func writeInstance(b *strings.Builder, macro int, fallback bool, in workflow.PreviewInstance) {
	line := fmt.Sprintf("%d %s", macro, in.Name)
	if fallback {
		line = fmt.Sprintf("  else %s", in.Name)
	}
	var notes []string
	if in.Timeout > 0 {
		notes = append(notes, fmt.Sprintf("%d s at most", in.Timeout))
	}
	switch in.Retries {
	case 0:
	case 1:
		notes = append(notes, "1 retry")
	default:
		notes = append(notes, fmt.Sprintf("%d retries", in.Retries))
	}
	if len(notes) > 0 {
		line += " (" + strings.Join(notes, ", ") + ")"
	}
	fmt.Fprintf(b, "  %-58s %s\n", line, expected(in.Seconds))
	if fallback {
		return // its micro-steps are in --json
	}
	for _, m := range in.Micros {
		name := m.Name
		if m.Argument != "" {
			name += " " + m.Argument
		}
		fmt.Fprintf(b, "      %-54s %s\n", name, expected(m.Seconds))
	}
}

// expected is a time, aligned to the right.
func expected(seconds *float64) string {
	if seconds == nil {
		return " unknown"
	}
	return fmt.Sprintf("%6.1f s", *seconds)
}
