package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"kadeploy/coordinator/internal/cluster"
	"kadeploy/coordinator/internal/config"
	"kadeploy/coordinator/internal/manual"
	"kadeploy/coordinator/internal/nodeset"
)

func (o *options) check() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Check the configuration and say what would be used",
		Long: "Read the configuration directory, show all that is wrong or has no effect, each with file, line,\n" +
			"field and remedy, and say what would be used. Nothing is started.\n\n" +
			"Exit status: 0 the configuration is good, 1 it cannot be used.",
		Args: manual.Words(),
		RunE: func(*cobra.Command, []string) error {
			cfg, err := o.load()
			switch {
			case err != nil:
				return err
			case asJSON:
				return writeJSON(os.Stdout, cfg)
			}
			describe(os.Stdout, cfg)
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print everything that would be used, as one JSON object (times in nanoseconds, sizes in bytes, those of partitions as configured)")
	return cmd
}

func writeJSON(w io.Writer, cfg *config.Config) error {
	warnings := []string{}
	for _, p := range cfg.Warnings {
		warnings = append(warnings, p.String())
	}
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return enc.Encode(map[string]any{
		"directory": cfg.Dir, "version": cfg.Version, "warnings": warnings, "server": cfg.Server, "clusters": cfg.Site.Clusters,
	})
}

// describe says in a page what a coordinator with this configuration would do.
func describe(w io.Writer, cfg *config.Config) {
	line := func(title, format string, args ...any) {
		fmt.Fprintf(w, "%-14s %s\n", title, fmt.Sprintf(format, args...))
	}
	s := &cfg.Server
	line("configuration", "%s is good", cfg.Dir)
	line("database", "%s", s.Database.File)
	line("image cache", "%s, %d MiB", s.Cache.Directory, s.Cache.Size>>20)
	line("local users", "%s", cmp.Or(s.API.Socket, "no Unix socket"))
	line("other users", "%s", overTCP(s))
	line("agents dial", "%s", agentsAddress(s))
	line("nodes boot", "%s", booting(s))
	line("images", "%s", sending(&s.Kascade))
	for _, c := range cfg.Site.Clusters {
		describeCluster(line, c)
	}
}

func overTCP(s *config.Server) string {
	scheme, host := "http", s.Hostname
	if s.Security.TLS {
		scheme = "https"
	}
	if s.Security.LocalOnly {
		host = "localhost"
	}
	var methods []string
	a := &s.Authentication
	for _, m := range []struct {
		name string
		on   bool
	}{{"acl", a.ACL}, {"http_basic", a.Basic}, {"certificate", a.Certificate}, {"ident", a.Ident}} {
		if m.on {
			methods = append(methods, m.name)
		}
	}
	address := scheme + "://" + net.JoinHostPort(host, strconv.Itoa(s.Ports.Server))
	if len(methods) == 0 {
		return address + ", but none is believed: no method in 'authentication'"
	}
	return address + ", proved by " + strings.Join(methods, ", ")
}

func booting(s *config.Server) string {
	switch {
	case s.Boot != nil && s.Boot.DHCP.Enabled:
		return fmt.Sprintf("by this coordinator's DHCP, TFTP and HTTP on %s, from %s", s.Boot.Interface, s.Boot.Repository)
	case s.Boot != nil:
		return fmt.Sprintf("by this coordinator's TFTP and HTTP on %s, from %s; DHCP is the site's", s.Boot.Interface, s.Boot.Repository)
	case s.PXE != nil:
		return fmt.Sprintf("by the site's boot server: %s profiles in %s", s.PXE.DHCP.Method, s.PXE.DHCP.ProfilesDirectory)
	}
	return "as they like: neither 'boot' nor 'pxe' is given"
}

func sending(k *config.Kascade) string {
	chains := "one chain"
	if k.Chains > 1 {
		chains = fmt.Sprintf("%d chains", k.Chains)
	}
	text := fmt.Sprintf("%s in the order of %s, window %d MiB, lz4 %s", chains, cmp.Or(k.Topology, "names"), k.Window>>20, k.Compress)
	if k.Encrypt {
		text += ", encrypted"
	}
	what := map[string]string{"side": "are fed aside", "wait": "are waited for", "drop": "are dropped"}[k.Slow]
	return text + fmt.Sprintf("; nodes below %g %% of the rate for %g s %s", 100*k.SlowShare, k.SlowPatience.Seconds(), what)
}

func describeCluster(line func(title, format string, args ...any), c *cluster.Cluster) {
	names := make([]string, len(c.Nodes))
	for i, n := range c.Nodes {
		names[i] = n.Name
	}
	line("cluster "+c.Name, "%s, %s: %s", count(len(c.Nodes), "node", "nodes"), c.Arch, nodeset.Fold(names))
	line("  disk", "%s", disk(&c.Partitioning))
	for _, p := range c.Partitioning.Layout {
		line("", "  %s", p)
	}
	line("  mini-OS", "%s, %s", cmp.Or(c.MiniOS.Kernel, "no kernel"), cmp.Or(c.MiniOS.Initrd, "no initrd"))
	for _, macro := range []struct {
		name string
		list []cluster.Instance
	}{{"  prepare", c.Automaton.SetDeploymentEnv}, {"  broadcast", c.Automaton.BroadcastEnv}, {"  boot", c.Automaton.BootNewEnv}} {
		var ways []string
		for _, i := range macro.list {
			ways = append(ways, fmt.Sprintf("%s (%s, %s)", i.Name, limit(i.Timeout), count(i.Retries, "retry", "retries")))
		}
		line(macro.name, "%s", strings.Join(ways, ", then "))
	}
	line("  commands", "%s", commands(&c.Remote))
	if c.BMC != nil {
		line("  controllers", "%s at %s, as %s, for the rest", c.BMC.Driver, c.BMC.Address, c.BMC.User)
	}
}

func disk(p *cluster.Partitioning) string {
	how := "the built-in scheme"
	switch {
	case len(p.Layout) > 0:
		how = fmt.Sprintf("a layout of %d partitions", len(p.Layout))
	case len(p.Script) > 0:
		how = "the site's script"
	}
	return fmt.Sprintf("%s by %s, deployed on partition %d (KDPL_%s_%s)", p.BlockDevice, how, p.Deploy, p.DeployLabel, p.DiskID)
}

// commands names those that the site provides, with their levels.
func commands(r *cluster.RemoteOps) string {
	var all []string
	for _, op := range []struct {
		name   string
		levels [cluster.Levels]cluster.Command
	}{{"reboot", r.Reboot}, {"power_on", r.PowerOn}, {"power_off", r.PowerOff}} {
		var levels []string
		for i, c := range op.levels {
			if c.Line != "" {
				levels = append(levels, cluster.LevelNames[i])
			}
		}
		if len(levels) > 0 {
			all = append(all, op.name+" "+strings.Join(levels, "/"))
		}
	}
	if r.PowerStatus.Line != "" {
		all = append(all, "power_status")
	}
	if r.Console.Line != "" {
		all = append(all, "console")
	}
	if len(r.PerNode) > 0 {
		all = append(all, count(len(r.PerNode), "node", "nodes")+" with their own")
	}
	return cmp.Or(strings.Join(all, ", "), "none: nodes can be neither rebooted nor switched")
}

// count is a number with what it counts.
func count(n int, one, more string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, more)
}

func limit(d time.Duration) string {
	if d == 0 {
		return "no limit"
	}
	return fmt.Sprintf("%g s", d.Seconds())
}
