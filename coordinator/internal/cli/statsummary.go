package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"kadeploy/coordinator/internal/manual"
	"kadeploy/coordinator/internal/stats"
)

// statSummary is kadeploy stat summary.
type statSummary struct {
	generic
	since, until, operation, cluster, env string
}

func (a *App) statSummaryCommand() *cobra.Command {
	sum := &statSummary{generic: generic{app: a}}
	cmd := &cobra.Command{
		Use:   "summary [options]",
		Short: "Show how operations went over a period",
		Long: `Show how operations went over a period: the share of nodes that succeeded, and the seconds that
these took - half of them at most p50, nine of ten at most p90, the slowest max - for each cluster,
environment, macro-step and micro-step.

` + exitCodes,
		Example: "  kadeploy stat summary --since 7d --cluster lab",
		Args:    manual.Words(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if asked, err := sum.asked(cmd.Context()); asked {
				return err
			}
			return sum.do(cmd.Context())
		},
	}
	fs := cmd.Flags()
	fs.SortFlags = false
	fs.StringVar(&sum.since, "since", "", "what started at this `TIME` or later: 2026-01-31, 7d (ago), ...; 30 days before --until if it is not given")
	fs.StringVar(&sum.until, "until", "", "what started at this `TIME` or earlier; now if it is not given")
	fs.StringVarP(&sum.operation, "operation", "o", "deploy", "the `OPERATION` deploy, reboot or power")
	fs.StringVar(&sum.cluster, "cluster", "", "of this `CLUSTER` only")
	fs.StringVar(&sum.env, "env", "", "with this environment only, NAME or `NAME:VERSION`")
	sum.generic.define(cmd)
	cmd.DisableFlagsInUseLine = true
	return cmd
}

func (sum *statSummary) do(ctx context.Context) error {
	if !slices.Contains(stats.Operations, sum.operation) {
		return mistakef("-o %s: the operations are %s", sum.operation, strings.Join(stats.Operations, ", "))
	}
	query := url.Values{"operation": {sum.operation}}
	for name, value := range map[string]string{"cluster": sum.cluster, "env": sum.env} {
		if value != "" {
			query.Set(name, value)
		}
	}
	if err := putDates(query, time.Now(), [2]string{"since", sum.since}, [2]string{"until", sum.until}); err != nil {
		return err
	}
	return sum.each(ctx, func(ctx context.Context, s *session) error {
		var answer stats.Summary
		if err := s.Get(ctx, "/stats/summary", query, &answer); err != nil {
			return err
		}
		if sum.json {
			return json.NewEncoder(s.app.Stdout).Encode(answer)
		}
		_, err := io.WriteString(s.app.Stdout, summaryText(&answer))
		return err
	})
}

// summaryText is a summary for people.
func summaryText(s *stats.Summary) string {
	titles := map[string]string{"deploy": "Deployments", "reboot": "Reboots", "power": "Power operations"}
	const form = "2006-01-02 15:04"
	var b strings.Builder
	fmt.Fprintf(&b, "%s from %s to %s: ", titles[s.Operation], s.From.Format(form), s.To.Format(form))
	if s.All.Nodes == 0 {
		b.WriteString("none\n")
		return b.String()
	}
	fmt.Fprintf(&b, "%s of %s, %s successful\n", count(s.Workflows, "workflow"), count(s.All.Nodes, "node"), percent(s.All))
	t := table{&b, 0}
	t.fit(s.Clusters, 0)
	t.fit(s.Environments, 0)
	for _, step := range s.Steps {
		t.fit([]stats.Group{step.Group}, 2)
		t.fit(step.Micros, 4)
	}
	t.title("Cluster")
	for _, g := range s.Clusters {
		t.row(g.Name, g)
	}
	if len(s.Environments) > 0 {
		t.title("Environment")
	}
	for _, g := range s.Environments {
		t.row(g.Name, g)
	}
	t.title("Step")
	for _, step := range s.Steps {
		t.row(fmt.Sprintf("%d %s", step.Macro, step.Name), step.Group)
		for _, m := range step.Micros {
			t.row("    "+m.Name, m)
		}
	}
	return b.String()
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func percent(g stats.Group) string { return fmt.Sprintf("%.1f%%", 100*float64(g.Success)) }

// table writes groups under each other. The first column is as wide as it must be.
type table struct {
	b     *strings.Builder
	width int
}

func (t *table) fit(groups []stats.Group, indent int) {
	for _, g := range groups {
		t.width = max(t.width, utf8.RuneCountInString(g.Name)+indent)
	}
}

func (t *table) title(name string) {
	fmt.Fprintf(t.b, "\n%s %7s %8s %9s %9s %9s\n", t.pad(name), "nodes", "success", "p50 s", "p90 s", "max s")
}

func (t *table) row(name string, g stats.Group) {
	fmt.Fprintf(t.b, "%s %7d %8s", t.pad(name), g.Nodes, percent(g))
	if g.Success == 0 && g.Max == 0 {
		fmt.Fprintf(t.b, " %9s %9s %9s\n", "-", "-", "-")
		return
	}
	fmt.Fprintf(t.b, " %9.1f %9.1f %9.1f\n", g.P50, g.P90, g.Max)
}

func (t *table) pad(name string) string {
	return name + strings.Repeat(" ", max(0, max(t.width, len("Environment"))-utf8.RuneCountInString(name)))
}
