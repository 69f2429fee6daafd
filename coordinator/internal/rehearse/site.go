package rehearse

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"kadeploy/coordinator/internal/cluster"
	"kadeploy/coordinator/internal/config"
)

// The site that is rehearsed when none is named: its limits are those of machines
// that need no time to boot, and nothing holds a thousand of them back.
const (
	serverConf = `
cache: {directory: DIR/cache, size: 1024}
database: {kind: sqlite, file: DIR/state/database}
api: {socket: DIR/socket}
windows: {reboot: {size: 100000, sleep_time: 1}, check: {size: 200}}
`
	clustersConf = `
clusters:
- {name: rehearsal, conf_file: rehearsal.conf, nodes: [{name: node-1.rehearsal, address: 127.1.0.1}]}
`
	clusterConf = `
partitioning: {block_device: disk0}
boot:
  sleep_time_before_ping: 0
  kernels: {deploy: {vmlinuz: vmlinuz, initrd: initrd}}
timeouts: {reboot: LIMIT, kexec: LIMIT}
remoteops:
  reboot: [{name: soft, cmd: soft_reset HOSTNAME_FQDN}, {name: hard, cmd: hard_reset HOSTNAME_FQDN}]
automata:
  macrosteps:
    SetDeploymentEnv: [{type: Untrusted, timeout: TOTAL, retries: 1, microsteps: [STEPS]}]
    BroadcastEnv: [{type: Kascade, timeout: TOTAL, retries: 1, microsteps: [STEPS]}]
    BootNewEnv: [{type: Kexec, timeout: TOTAL, microsteps: [STEPS]}, {type: HardReboot, timeout: TOTAL, microsteps: [STEPS]}]
`
)

// Places are where a rehearsal keeps its things.
type Places struct {
	Dir    string // all is below it
	Socket string // of the REST interface
	Image  string // what is deployed
	Keys   string // authorized_keys lines
	Log    string // of the coordinator
	Chaos  string // of the machines
}

// NewPlaces makes the directories below dir.
func NewPlaces(dir string) (Places, error) {
	p := Places{
		Dir: dir, Socket: filepath.Join(dir, "socket"), Image: filepath.Join(dir, "image"), Keys: filepath.Join(dir, "keys"),
		Log: filepath.Join(dir, "kadeployd.log"), Chaos: filepath.Join(dir, "machines.log"),
	}
	for _, sub := range []string{"conf", "cache", "state", "boot"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			return p, fmt.Errorf("directory of the rehearsal: %w", err)
		}
	}
	for _, name := range []string{"vmlinuz", "initrd"} {
		if err := os.WriteFile(filepath.Join(dir, "boot", name), []byte("rehearsal\n"), 0o644); err != nil {
			return p, fmt.Errorf("mini-OS of the rehearsal: %w", err)
		}
	}
	return p, nil
}

// WriteImage writes an image of size bytes, which nothing can make smaller, and a key.
func (p Places) WriteImage(size int64, seed uint64) error {
	f, err := os.Create(p.Image)
	if err != nil {
		return fmt.Errorf("image of the rehearsal: %w", err)
	}
	var key [32]byte
	key[0], key[1] = byte(seed), byte(seed>>8)
	source := rand.NewChaCha8(key)
	block := make([]byte, 1<<20)
	for left := size; left > 0 && err == nil; left -= int64(len(block)) {
		block = block[:min(left, int64(len(block)))]
		source.Read(block)
		_, err = f.Write(block)
	}
	if err := errors.Join(err, f.Close(), os.WriteFile(p.Keys, []byte("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA rehearsal\n"), 0o644)); err != nil {
		return fmt.Errorf("image of the rehearsal: %w", err)
	}
	return nil
}

// Limits are the time limits of the site that is rehearsed when none is named, in seconds.
type Limits struct {
	Boot  int // of a boot, and of an answer of an agent
	Total int // of an instance
}

// Site makes the configuration of a site of its own, with clusters of alike size.
func (p Places) Site(nodes, clusters int, l Limits) (*config.Config, error) {
	dir := filepath.Join(p.Dir, "conf")
	steps := ""
	for _, name := range limited {
		steps += fmt.Sprintf("{name: %s, timeout: %d}, ", name, l.Boot)
	}
	for name, text := range map[string]string{"server.conf": serverConf, "clusters.conf": clustersConf, "rehearsal.conf": clusterConf} {
		text = fill(text, "DIR", p.Dir, "LIMIT", strconv.Itoa(l.Boot), "TOTAL", strconv.Itoa(l.Total), "STEPS", steps)
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			return nil, fmt.Errorf("configuration of the rehearsal: %w", err)
		}
	}
	cfg, err := config.Load(dir)
	if err != nil {
		return nil, err
	}
	model := *cfg.Site.Clusters[0]
	cfg.Site.Clusters = nil
	for i := range clusters {
		c := model
		c.Name, c.Nodes = fmt.Sprintf("rehearsal-%d", i+1), nil
		for n := nodes * i / clusters; n < nodes*(i+1)/clusters; n++ {
			c.Nodes = append(c.Nodes, cluster.Node{Name: fmt.Sprintf("node-%d.%s", n+1, c.Name)})
		}
		cfg.Site.Clusters = append(cfg.Site.Clusters, &c)
	}
	return cfg, nil
}

// Choose keeps the clusters that are named (all if none is) and at most so many nodes
// in all (0: every one), a like share of each cluster.
func Choose(cfg *config.Config, nodes int, clusters []string) error {
	if len(clusters) > 0 {
		for _, name := range clusters {
			if !slices.ContainsFunc(cfg.Site.Clusters, func(c *cluster.Cluster) bool { return c.Name == name }) {
				return fmt.Errorf("there is no cluster %s in %s", name, cfg.Dir)
			}
		}
		cfg.Site.Clusters = slices.DeleteFunc(cfg.Site.Clusters, func(c *cluster.Cluster) bool { return !slices.Contains(clusters, c.Name) })
	}
	all := 0
	for _, c := range cfg.Site.Clusters {
		all += len(c.Nodes)
	}
	if nodes <= 0 || nodes >= all {
		return nil
	}
	if nodes < len(cfg.Site.Clusters) {
		return fmt.Errorf("%d nodes are too few for %d clusters", nodes, len(cfg.Site.Clusters))
	}
	before := 0
	for _, c := range cfg.Site.Clusters {
		after := before + len(c.Nodes)
		c.Nodes = c.Nodes[:max(1, nodes*after/all-nodes*before/all)]
		before = after
	}
	return nil
}

// Isolate makes a configuration one of a rehearsal: its own state, ports of the loopback
// network, nothing of the outside. Clusters, automata, limits, windows and the way
// images are sent stay as they are.
func (p Places) Isolate(cfg *config.Config, user string) error {
	s := &cfg.Server
	ports, err := freePorts(5)
	if err != nil {
		return err
	}
	s.Hostname = "127.0.0.1"
	s.Ports = config.Ports{Server: ports[0], MiniOS: ports[1], SSH: ports[2]}
	s.Agents = config.Agents{Address: "127.0.0.1", Port: ports[3]}
	s.Database = config.Database{Kind: "sqlite", File: filepath.Join(p.Dir, "state", "database")}
	s.API.Socket = p.Socket
	s.PXE, s.DeploymentKey, s.SSHPrivateKey = nil, "", ""
	params := ""
	if s.Boot != nil {
		params = s.Boot.Params
	}
	s.Boot = &config.Boot{
		Interface: "lo", Address: netip.MustParsePrefix("127.0.0.1/8"), HTTPPort: ports[4],
		Repository: filepath.Join(p.Dir, "boot"), Loaders: filepath.Join(p.Dir, "boot"), Params: params,
	}
	s.Rights.Almighty = append(s.Rights.Almighty, user)
	s.Authentication = config.Authentication{HeadersPrefix: s.Authentication.HeadersPrefix}
	s.Security = config.Security{TLS: true, LocalOnly: true}
	s.Logs, s.VLAN, s.Hooks = config.Logs{Database: true}, config.VLAN{}, config.Hooks{}
	s.Cache = config.Cache{Directory: filepath.Join(p.Dir, "cache"), Size: 1 << 40, Concurrency: s.Cache.Concurrency}
	at := netip.MustParseAddr("127.1.0.1")
	for _, c := range cfg.Site.Clusters {
		withoutConsoles(c)
		for i := range c.Nodes {
			c.Nodes[i].Address = at
			at = at.Next()
		}
	}
	return nil
}

// withoutConsoles leaves no command that would be run for a look at a real machine.
func withoutConsoles(c *cluster.Cluster) {
	c.Remote.Console = cluster.Command{}
	own := make(map[string]cluster.NodeOps, len(c.Remote.PerNode))
	for name, ops := range c.Remote.PerNode {
		ops.Console = cluster.Command{}
		own[name] = ops
	}
	c.Remote.PerNode = own
}

// freePorts finds ports below those that the kernel gives to whoever dials.
func freePorts(n int) ([]int, error) {
	var ports []int
	for try := 0; len(ports) < n; try++ {
		port := 10000 + rand.IntN(20000)
		ln, err := net.Listen("tcp", net.JoinHostPort("", strconv.Itoa(port)))
		if err != nil || slices.Contains(ports, port) {
			if try > 1000 {
				return nil, fmt.Errorf("no free port for the rehearsal: %w", err)
			}
			continue
		}
		if err := ln.Close(); err != nil {
			return nil, err
		}
		ports = append(ports, port)
	}
	return ports, nil
}
