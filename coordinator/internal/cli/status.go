package cli

import (
	"fmt"
	"strings"
	"time"

	"kadeploy/coordinator/internal/client"
)

// statusText is what Enter shows while an operation runs: who is in which
// micro-step, and for how long.
func statusText(title string, all []client.ClusterStatus, since time.Duration) string {
	var b strings.Builder
	fmt.Fprintf(&b, "---\n%s status (%ds):\n", title, int(since.Seconds()))
	for _, c := range all {
		indent := "  "
		if len(all) > 1 {
			fmt.Fprintf(&b, "  %s:\n", c.Cluster)
			indent = "    "
		}
		for _, m := range c.Micros {
			for _, verdict := range []string{"OK", "KO", "**"} {
				if nodes := m.Nodes[verdict]; len(nodes) > 0 {
					fmt.Fprintf(&b, "%s[%s-%s] ~%ds (%s) %s\n", indent, m.Macro, m.Micro, m.Seconds, verdict, fold(nodes))
				}
			}
		}
		for _, end := range []struct {
			verdict string
			nodes   []string
		}{{"OK", c.OK}, {"KO", c.KO}} {
			if len(end.nodes) > 0 {
				fmt.Fprintf(&b, "%s(%s) %s\n", indent, end.verdict, fold(end.nodes))
			}
		}
	}
	b.WriteString("---\n")
	return b.String()
}
