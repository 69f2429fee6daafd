package main

import (
	"context"
	"log/slog"
	"time"

	"kadeploy/coordinator/internal/cluster"
	"kadeploy/coordinator/internal/console"
	"kadeploy/coordinator/internal/fleet"
	agentv1 "kadeploy/proto/agent/v1"
)

// agentTime is how long an agent may take to tell its log: what has a session answers at once, or hangs.
const agentTime = 3 * time.Second

// witness asks nodes that failed what they said last (engine.Witness).
type witness struct {
	fleet    *fleet.Fleet
	consoles *console.Service
	log      *slog.Logger
}

func (w witness) Last(ctx context.Context, c *cluster.Cluster, node string) (said, agent string) {
	agent = w.agentLog(ctx, node) // first: the node may be on its way to a reboot
	said, err := w.consoles.Tail(ctx, c, node)
	if err != nil {
		w.log.Warn("the console of a node that failed could not be read", "node", node, "error", err)
	}
	return said, agent
}

func (w witness) agentLog(ctx context.Context, node string) string {
	if w.fleet.BootID(node) == "" {
		return "" // no session: nothing to wait for
	}
	ctx, cancel := context.WithTimeout(ctx, agentTime)
	defer cancel()
	client, _, err := w.fleet.Session(ctx, node, "")
	if err != nil {
		return ""
	}
	reply, err := client.Log(ctx, &agentv1.LogRequest{})
	if err != nil {
		w.log.Debug("the agent of a node that failed did not tell its log", "node", node, "error", err)
		return ""
	}
	return reply.Text
}
