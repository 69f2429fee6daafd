package power

import (
	"context"
	"fmt"

	"kadeploy/coordinator/internal/cluster"
)

// controlled tells whether the cluster's controllers can do the operation at a level.
func (p *performance) controlled(level int) bool {
	b := p.cluster.BMC
	return b != nil && p.service.bmc != nil && p.service.bmc.Has(b.Driver, p.op, level)
}

// controller is the unit of a node whose controller does the operation.
func (p *performance) controller(node string, level int) (unit, error) {
	host, err := p.service.substitute(p.cluster.BMC.Address, node, []string{node})
	if err != nil {
		return unit{}, err
	}
	line := fmt.Sprintf("%s %s: %s", p.cluster.BMC.Driver, host, opName(p.op, level))
	return unit{line: line, host: host, nodes: []string{node}}, nil
}

// control does what execute does, by a controller.
func (s *Service) control(ctx context.Context, b cluster.BMC, u unit, op Op, level int) Outcome {
	ctx, cancel := context.WithTimeoutCause(ctx, s.timeout, fmt.Errorf("no end within %v", s.timeout))
	defer cancel()
	answer, err := s.bmc.Control(ctx, b, u.host, op, level)
	out := Outcome{Command: u.line, Stdout: answer, Err: err}
	if err != nil {
		out.Stderr, out.Exit = err.Error(), -1
	}
	return out
}
