package main

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"

	"kadeploy/coordinator/internal/boot"
	"kadeploy/coordinator/internal/boot/profilefile"
	"kadeploy/coordinator/internal/cluster"
	"kadeploy/coordinator/internal/config"
	"kadeploy/coordinator/internal/profile"
	"kadeploy/coordinator/internal/steps"
	"kadeploy/proto/agent/session"
)

// siteProfiles says what nodes boot where the site has a boot server of its own:
// beside the store, which remembers it, it writes the profile that this server reads.
type siteProfiles struct {
	steps.Profiles
	tokens      boot.Tokens
	writer      *profilefile.Writer
	machines    map[string]profilefile.Machine // by the node's name
	coordinator string                         // where agents dial
	fingerprint string                         // of the certificate that they check
}

// SetBootProfile remembers first: a token is made only for a node that is known to boot the mini-OS.
func (s *siteProfiles) SetBootProfile(ctx context.Context, node, workflow string, p profile.Profile) error {
	if err := s.Profiles.SetBootProfile(ctx, node, workflow, p); err != nil {
		return err
	}
	m, known := s.machines[node]
	if !known {
		return fmt.Errorf("boot profile of %s: the node is in no cluster", node)
	}
	if p.VLAN.IsValid() {
		m.Addresses = append(slices.Clone(m.Addresses), p.VLAN)
	}
	switch p.Kind {
	case profile.MiniOS:
		token, err := s.tokens.Mint(ctx, node)
		if err != nil {
			return err
		}
		return s.writer.ToNetwork(m, profilefile.Network{Kernel: p.Kernel, Initrd: p.Initrd, Params: s.params(p, node, token)})
	case profile.Local:
		return s.writer.ToLocal(m, profilefile.Local{
			Device: p.System.Device, Partition: p.Partition, OS: p.System.OS, Root: p.System.Root,
			Kernel: p.System.Kernel, Initrd: p.System.Initrd, Params: p.System.Params,
			Hypervisor: p.System.Hypervisor, HyperOptions: p.System.HypervisorParams,
		})
	case profile.Custom:
		return s.writer.ToCustom(m, p.Script, p.Singularity, p.User)
	}
	return fmt.Errorf("boot profile of %s: there is no file for a profile of kind %q", node, p.Kind)
}

// params is the mini-OS's command line, with which its agent finds and proves itself to the coordinator.
func (s *siteProfiles) params(p profile.Profile, node, token string) string {
	return strings.Join(append(strings.Fields(p.Params),
		"kadeploy.coordinator="+s.coordinator, "kadeploy.node="+node,
		"kadeploy.token="+token, "kadeploy.fingerprint="+s.fingerprint), " ")
}

// profiles is the store, or the store and the files of the site's boot server.
func (d *daemon) profiles() (steps.Profiles, error) {
	pxe := d.cfg.Server.PXE
	if pxe == nil || d.cfg.Server.Boot != nil {
		return d.store, nil
	}
	s := &siteProfiles{
		Profiles: d.store, tokens: d.store, coordinator: agentsAddress(&d.cfg.Server), fingerprint: session.Fingerprint(d.cert.Certificate[0]),
		writer: &profilefile.Writer{
			DHCP: place(pxe.DHCP, &d.cfg.Server), Network: place(pxe.NetworkBoot, &d.cfg.Server), Local: place(pxe.LocalBoot, &d.cfg.Server),
		},
		machines: make(map[string]profilefile.Machine),
	}
	var err error
	if s.writer.UserFiles, err = filepath.Rel(pxe.DHCP.Repository, pxe.DHCP.UserFiles); err == nil {
		err = s.writer.Check()
	}
	if err != nil {
		return nil, fmt.Errorf("pxe: %w", err)
	}
	for _, c := range d.cfg.Site.Clusters {
		for _, n := range c.Nodes {
			s.machines[n.Name] = machine(c, n)
		}
	}
	return s, nil
}

func machine(c *cluster.Cluster, n cluster.Node) profilefile.Machine {
	m := profilefile.Machine{Name: n.Name, Headers: profilefile.Headers(c.PXEHeaders)}
	if n.Address.IsValid() {
		m.Addresses = []netip.Addr{n.Address}
	}
	return m
}

func place(m config.PXEMethod, server *config.Server) profilefile.Place {
	host := m.ExportServer
	if host == "LOCAL_IP" {
		host = localAddress(server)
	}
	return profilefile.Place{
		Method:    profilefile.Method(m.Method),
		Export:    profilefile.Export{Kind: m.ExportKind, Server: host},
		Directory: m.ProfilesDirectory, Naming: profilefile.Naming(m.ProfilesFilename), Binary: m.Binary,
	}
}

// localAddress is this machine as boot loaders reach it: they may know no names.
func localAddress(server *config.Server) string {
	name := server.Hostname
	if server.Agents.Address != "" {
		name = server.Agents.Address
	}
	if addresses, err := net.LookupHost(name); err == nil && len(addresses) > 0 {
		return addresses[0]
	}
	return name
}
