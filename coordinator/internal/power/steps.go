package power

import (
	"context"
	"fmt"
	"strings"

	"kadeploy/coordinator/internal/cluster"
)

// Reboot is Perform of a reboot, for callers that want to know only whether it worked.
func (s *Service) Reboot(ctx context.Context, c *cluster.Cluster, level int, nodes []string,
	tried func(level int, nodes []string), begun func(nodes []string), report func(node string, err error)) {
	s.Perform(ctx, c, Reboot, level, nodes, Watch{tried, begun}, func(node string, out Outcome) { report(node, out.Err) })
}

// Switch is Perform of one of the actions on, off and status. output is what the
// command printed, on its standard output if there is any.
func (s *Service) Switch(ctx context.Context, c *cluster.Cluster, action string, level int, nodes []string,
	begun func(nodes []string), report func(node, output string, err error)) {
	op, known := map[string]Op{"on": On, "off": Off, "status": Status}[action]
	if !known {
		for _, node := range nodes {
			report(node, "", fmt.Errorf("power %q of %s: the actions are on, off and status", action, node))
		}
		return
	}
	s.Perform(ctx, c, op, level, nodes, Watch{Begun: begun}, func(node string, out Outcome) {
		text := out.Stdout
		if strings.TrimSpace(text) == "" {
			text = out.Stderr
		}
		report(node, text, out.Err)
	})
}
