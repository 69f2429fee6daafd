package service

import (
	"context"

	"kadeploy/agent/internal/kernellog"
	agentv1 "kadeploy/proto/agent/v1"
)

const (
	logBytes    = 16 << 10 // that Log answers with unless asked for more
	maxLogBytes = 64 << 10
)

// Log implements agentv1.AgentServer.
func (s *Service) Log(_ context.Context, r *agentv1.LogRequest) (*agentv1.LogReply, error) {
	limit := int(r.MaxBytes)
	if limit == 0 {
		limit = logBytes
	}
	text, err := kernellog.Tail(min(limit, maxLogBytes))
	if err != nil {
		return nil, statusOf(err)
	}
	return &agentv1.LogReply{Text: text}, nil
}
