package main

import (
	"context"
	"net/netip"
	"os"
	"strings"
	"time"

	"kadeploy/coordinator/internal/boot"
	"kadeploy/coordinator/internal/command"
	"kadeploy/coordinator/internal/profile"
	"kadeploy/coordinator/internal/remote"
	"kadeploy/coordinator/internal/steps"
	"kadeploy/proto/agent/session"
)

// kernels is the mini-OS for nodes that load it by kexec.
type kernels struct{ *boot.Kernels }

func (k kernels) Files(p profile.Profile) ([]steps.BootFile, error) {
	list, err := k.Kernels.Files(p)
	out := make([]steps.BootFile, len(list))
	for i, f := range list {
		out[i] = steps.BootFile(f)
	}
	return out, err
}

// kernels are the files of the boot service's repository, or of that of the site's boot server.
func (d *daemon) kernels() (steps.Kernels, error) {
	server := &d.cfg.Server
	cfg := boot.KernelsConfig{
		Overlay: d.overlay(), Coordinator: agentsAddress(server), Fingerprint: session.Fingerprint(d.cert.Certificate[0]),
		MAC: make(map[string]string), Tokens: d.store,
	}
	switch b := server.Boot; {
	case b != nil:
		cfg.Repository, cfg.Params = b.Repository, b.Params
		if b.Address != (netip.Prefix{}) {
			cfg.URL = boot.FilesURL(b.Address.Addr().String(), b.HTTPPort)
		}
	case server.PXE != nil:
		cfg.Repository = server.PXE.NetworkBoot.Repository
	}
	for _, c := range d.cfg.Site.Clusters {
		for _, n := range c.Nodes {
			cfg.MAC[n.Name] = n.MAC
		}
	}
	k, err := boot.NewKernels(cfg)
	return kernels{k}, err
}

// overlay is what the site puts over the mini-OS.
func (d *daemon) overlay() map[string]string {
	if key := d.cfg.Server.DeploymentKey; key != "" {
		return map[string]string{"/etc/kadeploy/authorized_keys": key}
	}
	return nil
}

// remote opens root shells with the site's key; nil if the site has none.
func (d *daemon) remote() steps.Remote {
	server := &d.cfg.Server
	if _, err := os.Stat(server.SSHPrivateKey); err != nil {
		return nil
	}
	return remote.New(remote.Config{KeyFile: server.SSHPrivateKey, Port: server.Ports.SSH})
}

// deploymentKey is the public half of the key with which remote logs in.
func (d *daemon) deploymentKey() ([]byte, error) {
	if d.cfg.Server.DeploymentKey == "" {
		return nil, nil
	}
	return os.ReadFile(d.cfg.Server.DeploymentKey)
}

// siteCommandTime bounds the site's own commands within a micro-step, which has its own limit.
const siteCommandTime = 6 * time.Hour

// siteCommands runs the site's commands on this host.
type siteCommands struct{ connector string }

func (s siteCommands) Run(ctx context.Context, line string) (stdout, stderr string, err error) {
	r := command.Run(ctx, strings.ReplaceAll(line, "DEFAULT_CONNECTOR", s.connector), siteCommandTime)
	return r.Stdout, r.Stderr, r.Err
}
