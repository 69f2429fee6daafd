package power

import (
	"context"
	"fmt"

	"kadeploy/coordinator/internal/command"
)

// execute runs one of the site's command lines.
func (s *Service) execute(ctx context.Context, line string) Outcome {
	r := command.Run(ctx, line, s.timeout)
	return Outcome{Command: line, Stdout: r.Stdout, Stderr: r.Stderr, Exit: r.Exit, Err: r.Err}
}

// pretend does what execute does, on machines that exist only in memory.
func (s *Service) pretend(ctx context.Context, u unit, op Op, level int) Outcome {
	ctx, cancel := context.WithTimeoutCause(ctx, s.timeout, fmt.Errorf("no end within %v", s.timeout))
	defer cancel()
	output, err := s.machines.Act(ctx, op, level, u.nodes)
	out := Outcome{Command: u.line, Stdout: output, Err: err}
	if err != nil {
		out.Stderr, out.Exit = err.Error(), -1
	}
	return out
}
