package main

import (
	"context"
	"log/slog"
	"os/exec"
	"strings"

	"kadeploy/coordinator/internal/config"
	"kadeploy/coordinator/internal/workflow"
)

// runHook runs the site's command for the end of a workflow, if there is one.
func runHook(hooks config.Hooks, req *workflow.Request, log *slog.Logger) {
	line := hookLine(hooks, req)
	if line == "" {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), hookTime)
	defer cancel()
	out, err := exec.CommandContext(ctx, "/bin/sh", "-c", line).CombinedOutput()
	if err != nil {
		log.Error("the hook failed", "workflow", req.ID, "command", line, "error", err, "output", strings.TrimSpace(string(out)))
	}
}
