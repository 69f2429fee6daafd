package power

import (
	"context"

	"kadeploy/coordinator/internal/command"
)

// execute runs one of the site's command lines.
func (s *Service) execute(ctx context.Context, line string) Outcome {
	r := command.Run(ctx, line, s.timeout)
	return Outcome{Command: line, Stdout: r.Stdout, Stderr: r.Stderr, Exit: r.Exit, Err: r.Err}
}
