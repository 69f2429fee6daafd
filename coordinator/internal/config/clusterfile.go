package config

import (
	"cmp"
	"path/filepath"
	"slices"
	"strings"

	"kadeploy/coordinator/internal/cluster"
	"kadeploy/coordinator/internal/env"
	"kadeploy/coordinator/internal/layout"
	"kadeploy/coordinator/internal/tree"
)

// clusterFile reads the file of one cluster into c.
func (l *loader) clusterFile(path string, c *cluster.Cluster, s *Server) {
	name := path
	if rel, err := filepath.Rel(l.dir, path); err == nil && filepath.IsLocal(rel) {
		name = rel
	}
	f := l.open(path)
	if f == nil {
		return
	}
	f.name = name
	n := f.Root()
	boot, kernels := n.Get("boot"), n.Get("boot").Get("kernels")
	c.Arch = n.Get("arch").Get("default").Choice("x86_64", "x86_64", "ppc64le", "aarch64")
	n.Get("arch").Get("supported").Strings()
	c.Partitioning = l.partitioning(n.Get("partitioning"))
	c.MiniOS = l.miniOS(kernels.Get("deploy"), s)
	c.UserParams = kernels.Get("user").Get("params").String("")
	c.Bootloader = l.content(boot.Get("install_bootloader"))
	c.Startup = l.content(boot.Get("startup_script"))
	c.SleepPing = seconds(boot.Get("sleep_time_before_ping"), 20)
	c.Remote = l.remote(n.Get("remoteops"))
	c.BMC = l.bmc(n.Get("bmc"))
	c.Preinstalls = l.archives(n.Get("preinstall").Get("files"))
	c.Postinstalls = l.archives(n.Get("postinstall").Get("files"))
	c.Trusted = trusted(n.Get("trusted_deployment"))
	c.Variables = variables(n.Get("custom_variables"))
	c.UseIP = n.Get("hooks").Get("use_ip_to_deploy").Bool(false)
	c.Kexec = n.Get("kexec").Get("enabled").Bool(true)
	c.Automaton = automaton(f, n.Get("automata").Get("macrosteps"))
	c.Timeouts = timeouts(n.Get("timeouts"), c.Automaton)

	c.Broadcast = cluster.Command{Line: l.command(n.Get("localops").Get("broadcastenv").Get("cmd"))}
	c.BroadcastRaw = !n.Get("localops").Get("broadcastenv").Get("decompress").Bool(true)
	c.Loading = l.loading(n.Get("kexec"))
	c.MiniOS.NFSKernel = kernels.Get("nfsroot").Get("vmlinuz").String("")
	c.MiniOS.NFSParams = kernels.Get("nfsroot").Get("params").String("")
	headers := n.Get("pxe").Get("headers")
	c.PXEHeaders = cluster.PXEHeaders{
		DHCP:    headers.Get("dhcp").String(""),
		Network: headers.Get("networkboot").String(""),
		Local:   headers.Get("localboot").String(""),
	}
	f.without(n.Get("pxe"), "the coordinator writes the boot profiles itself, those of UEFI machines too", "script")
	f.close()
}

// Partition numbers of the built-in scheme, which is used when there is no script.
const (
	builtinSwap   = 1
	builtinProd   = 2
	builtinDeploy = 3
	builtinTmp    = 5
)

func (l *loader) partitioning(n *tree.Node) cluster.Partitioning {
	parts := n.Get("partitions")
	p := cluster.Partitioning{
		BlockDevice: n.Get("block_device").Must().String(""),
		DiskID:      "disk0",
		DeployLabel: n.Get("deploy_label").String("DEPLOY"),
		DisableSwap: n.Get("disable_swap").Bool(false),
		Script:      l.content(n.Get("script")),
		Format:      l.content(n.Get("formating_script")),
		Disks:       disks(n.Get("disk_path")),
	}
	p.Layout = layout.Read(n.Get("layout"), p.DeployLabel)
	if diskID.MatchString(p.BlockDevice) {
		p.DiskID = p.BlockDevice
		p.BlockDevice = cmp.Or(p.Disks[p.DiskID].Path, p.BlockDevice)
	}
	if p.Layout != nil {
		l.byLabel(n, &p)
		return p
	}
	if p.Script == nil {
		p.Deploy = partition(parts.Get("deploy"), builtinDeploy)
		p.Swap = partition(parts.Get("swap"), builtinSwap)
		p.Prod = partition(parts.Get("prod"), builtinProd)
		p.Tmp = partition(parts.Get("tmp"), builtinTmp)
		return p
	}
	p.Deploy = partition(parts.Get("deploy").Must(), -1)
	swap := parts.Get("swap")
	if !p.DisableSwap {
		swap.Must()
	}
	p.Swap = partition(swap, -1)
	p.Prod = partition(parts.Get("prod"), -1)
	p.Tmp = partition(parts.Get("tmp"), -1)
	return p
}

// byLabel finds the partitions of a layout by their labels, so that no number is given twice.
func (l *loader) byLabel(n *tree.Node, p *cluster.Partitioning) {
	for _, other := range []string{"script", "partitions"} {
		if n.Get(other).Exists() {
			n.Get(other).Fail("'layout' says it all: give 'layout', or 'script' with 'partitions'")
		}
	}
	p.Deploy, p.Swap = numberOf(p.Layout, p.DeployLabel), numberOf(p.Layout, "SWAP")
	p.Prod, p.Tmp = numberOf(p.Layout, "PROD"), numberOf(p.Layout, "TMP")
	place(n.Get("layout"), p)
	p.DisableSwap = p.DisableSwap || !slices.ContainsFunc(p.Layout, func(part layout.Part) bool { return part.Filesystem == layout.Swap })
}

func partition(n *tree.Node, otherwise int) int { return between(n, otherwise, -1, 128) }

func (l *loader) miniOS(n *tree.Node, s *Server) cluster.MiniOS {
	m := cluster.MiniOS{
		Kernel:      n.Get("vmlinuz").Must().String(""),
		Initrd:      n.Get("initrd").Must().String(""),
		Params:      n.Get("params").String(""),
		Filesystems: commas(n.Get("supported_fs").String("ext2, ext3, ext4, vfat")),
		Drivers:     commas(n.Get("drivers").String("")),
	}
	if s.Boot != nil && s.Boot.Repository != "" {
		for key, file := range map[string]string{"vmlinuz": m.Kernel, "initrd": m.Initrd} {
			if file != "" {
				l.inRepository(n.Get(key), filepath.Join(s.Boot.Repository, file))
			}
		}
	}
	return m
}

func (l *loader) inRepository(n *tree.Node, path string) {
	if !regular(path) {
		n.Fail("%s is no file: build the mini-OS with mkminios, or correct the name or boot/repository in %s", path, serverFiles[0])
	}
}

// remote reads the commands on the machines themselves.
func (l *loader) remote(n *tree.Node) cluster.RemoteOps {
	return cluster.RemoteOps{
		Reboot:      l.levels(n.Get("reboot")),
		PowerOn:     l.levels(n.Get("power_on")),
		PowerOff:    l.levels(n.Get("power_off")),
		PowerStatus: l.single(n.Get("power_status")),
		Console:     l.single(n.Get("console")),
		ConsoleLog:  l.single(n.Get("console_log")),
	}
}

// levels are up to three commands: maps that name their level, or plain strings in order.
func (l *loader) levels(n *tree.Node) (commands [cluster.Levels]cluster.Command) {
	items := n.Items()
	if len(items) > len(commands) {
		n.Fail("There are %d commands, %d are possible: %s", len(items), len(commands), strings.Join(cluster.LevelNames[:], ", "))
		items = items[:len(commands)]
	}
	for i, item := range items {
		level := i
		if item.IsMap() {
			name := item.Get("name").Must().Choice(cluster.LevelNames[i], cluster.LevelNames[:]...)
			level = max(slices.Index(cluster.LevelNames[:], name), 0)
		}
		if commands[level].Line != "" {
			item.Fail("The level %s is given twice", cluster.LevelNames[level])
		}
		commands[level] = l.remoteCommand(item)
	}
	return commands
}

func (l *loader) single(n *tree.Node) cluster.Command {
	items := n.Items()
	if len(items) == 0 {
		return cluster.Command{}
	}
	if len(items) > 1 {
		n.Fail("There are %d commands, only one is possible", len(items))
	}
	return l.remoteCommand(items[0])
}

func (l *loader) remoteCommand(n *tree.Node) cluster.Command {
	if !n.IsMap() {
		return cluster.Command{Line: l.command(n)}
	}
	n.Get("name") // has a meaning only for levels
	return cluster.Command{Line: l.command(n.Get("cmd").Must()), Group: l.existing(n.Get("group"))}
}

func (l *loader) archives(n *tree.Node) []cluster.Archive {
	formats := map[string]string{"tgz": "gzip", "tbz2": "bzip2", "txz": "xz", "tzst": "zstd"}
	var all []cluster.Archive
	for _, item := range n.Items() {
		all = append(all, cluster.Archive{
			File:        l.existing(item.Get("file").Must()),
			Compression: formats[item.Get("format").Must().Choice("", "tgz", "tbz2", "txz", "tzst")],
			Script:      item.Get("script").String("none"),
		})
	}
	return all
}

func (l *loader) loading(n *tree.Node) cluster.Loading {
	loading := cluster.Loading{
		Directory:   n.Get("repository").String("/dev/shm/kexec_repository"),
		DisableSwap: n.Get("disable_swap").Bool(false),
		Before:      l.command(n.Get("server_precmd")),
		Script:      l.content(n.Get("script")),
	}
	if !filepath.IsAbs(loading.Directory) {
		n.Get("repository").Fail("'%s' is no absolute path; it is a directory on the nodes", loading.Directory)
	}
	return loading
}

func trusted(n *tree.Node) *cluster.Trusted {
	if !n.Exists() {
		return nil
	}
	t := &cluster.Trusted{Partition: n.Get("partition").Must().String(""), User: n.Get("user").String("")}
	for _, e := range n.Get("envs").Items() {
		t.Envs = append(t.Envs, cluster.TrustedEnv{Name: e.Get("name").Must().String(""), User: e.Get("user").String("")})
	}
	return t
}

func variables(n *tree.Node) map[string]string {
	all := make(map[string]string)
	for _, key := range n.Keys() {
		v := n.Get(key)
		all[key] = v.Text("")
		if err := env.CheckVariable(key, all[key]); err != nil {
			v.Fail("%v", err)
		}
	}
	return all
}
