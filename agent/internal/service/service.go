// Package service answers the RPCs of agent.proto: it checks what was asked,
// calls the package that does it, and turns its errors into the status codes
// that agent.proto promises. It owns no knowledge of disks, archives or boot
// loaders, and it does not dial or listen.
package service

import (
	"log/slog"
	"time"

	agentv1 "kadeploy/proto/agent/v1"
)

// Departure is how the agent's system comes to its end.
type Departure int

// The ways out of the mini-OS.
const (
	Jump     Departure = iota // into the kernel that Kexec loaded
	Restart                   // through the firmware
	PowerOff                  // off
)

func (d Departure) String() string {
	return [...]string{"jump into the loaded kernel", "restart", "power off"}[d]
}

// departureDelay lets the answer reach the coordinator before the node goes away.
const departureDelay = 300 * time.Millisecond

// Config is what the service is handed by the program that serves it.
type Config struct {
	Logger  *slog.Logger
	Version string // told by Describe
	TempDir string // scripts are put here; "/tmp" if empty

	// Leave ends the system; it is called once, shortly after Kexec or Reboot
	// were answered, and returns only if that failed. Nil is the real thing.
	Leave func(Departure) error
}

// Service is the agent's side of agent.proto.
type Service struct {
	agentv1.UnimplementedAgentServer
	cfg  Config
	log  *slog.Logger
	kept shelf // a transfer that was interrupted
	runs runs  // programs that may outlive their calls
}

// New returns the service of this node.
func New(cfg Config) agentv1.AgentServer {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.TempDir == "" {
		cfg.TempDir = "/tmp"
	}
	return &Service{cfg: cfg, log: cfg.Logger}
}
