package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/signal"

	"golang.org/x/sys/unix"

	"kadeploy/agent/internal/initsys"
	"kadeploy/agent/internal/service"
	"kadeploy/agent/internal/session"

	wire "kadeploy/proto/agent/session"
)

// keyFile lies on a tmpfs: it outlives a worker, not a boot.
const keyFile = "/run/kadeploy/agent.key"

// work is the worker: it holds the session with the coordinator until it is told to end.
func work() error {
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGTERM, unix.SIGINT)
	defer stop()
	logger := initsys.OpenLog("kadeploy worker")
	line, err := os.ReadFile("/proc/cmdline")
	if err != nil {
		return fmt.Errorf("read the kernel's arguments: %w", err)
	}
	args := initsys.ParseArguments(string(line))
	key, err := session.LoadKey(keyFile)
	if err != nil {
		return err
	}
	bootID, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return fmt.Errorf("read the boot's id: %w", err)
	}
	node := args.Node
	if node == "" { // then DHCP's name will do
		if node, err = os.Hostname(); err != nil {
			return fmt.Errorf("find this node's name: %w", err)
		}
	}
	server := service.New(service.Config{Logger: logger, Version: version})
	return session.Run(ctx, session.Config{
		Coordinator: args.Coordinator,
		Fingerprint: args.Fingerprint,
		Hello: wire.Hello{
			Node: node, Token: args.Token,
			BootID: string(bytes.TrimSpace(bootID)), Agent: version,
		},
		Key:    key,
		Logger: logger,
	}, server)
}
