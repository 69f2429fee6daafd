package main

import (
	"context"
	"log/slog"
	"os/exec"
	"strings"
	"syscall"
	"time"

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
	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", line)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second // a child in the background may keep the output open
	out, err := cmd.CombinedOutput()
	if err != nil {
		log.Error("the hook failed", "workflow", req.ID, "command", line, "error", err, "output", strings.TrimSpace(string(out)))
	}
}
