package console

import (
	"context"
	"fmt"
	"strings"
	"time"

	"kadeploy/coordinator/internal/cluster"
	"kadeploy/coordinator/internal/command"
)

// tailTime is how long a site's command may take to print the end of a console.
const tailTime = 5 * time.Second

// Tail is what a node's console showed last, as the site's command console_log
// prints it; empty, without an error, if the site has none. Unlike a session it
// takes the console from nobody.
func (s *Service) Tail(ctx context.Context, c *cluster.Cluster, node string) (string, error) {
	line := c.Remote.ConsoleLog.Line
	if own := c.Remote.PerNode[node].ConsoleLog.Line; own != "" {
		line = own
	}
	if line == "" {
		return "", nil
	}
	line, err := s.fill(line, node)
	if err != nil {
		return "", err
	}
	out := command.Run(ctx, line, tailTime)
	if out.Err != nil {
		return "", fmt.Errorf("console_log of %s: %w", node, out.Err)
	}
	return plain(out.Stdout), nil
}

// plain drops what only a terminal understands: escape sequences (ECMA-48, 5.4:
// ESC [, parameters, a final byte) and control characters.
func plain(text string) string {
	var b strings.Builder
	escape, bracket := false, false
	for _, r := range strings.ToValidUTF8(text, "?") {
		switch {
		case bracket:
			bracket = r < '@' || r > '~'
		case escape:
			escape, bracket = false, r == '['
		case r == '\x1b':
			escape = true
		case r == '\n' || r == '\t' || r >= ' ' && r != '\x7f':
			b.WriteRune(r)
		}
	}
	return strings.TrimRight(b.String(), "\n")
}
