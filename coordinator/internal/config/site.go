package config

import (
	"net"
	"net/netip"
	"strings"

	"kadeploy/coordinator/internal/cluster"
	"kadeploy/coordinator/internal/nodeset"
	"kadeploy/coordinator/internal/tree"
)

// site reads clusters.conf and, for each cluster, its own file.
func (l *loader) site(f *file, s *Server) *cluster.Site {
	site := &cluster.Site{}
	u := uniques{names: make(map[string]string), addresses: make(map[netip.Addr]string), macs: make(map[string]string)}
	list := f.Root().Get("clusters").Must()
	for _, n := range list.Items() {
		c := &cluster.Cluster{
			Name:   n.Get("name").Must().String(""),
			Prefix: n.Get("prefix").String(""),
			Nodes:  nodes(n.Get("nodes").Must(), u),
		}
		for _, other := range site.Clusters {
			if other.Name == c.Name {
				n.Get("name").Fail("The cluster '%s' is given twice", c.Name)
			}
		}
		conf := n.Get("conf_file").Must()
		if path := l.existing(conf); regular(path) {
			l.clusterFile(path, c, s)
		}
		site.Clusters = append(site.Clusters, c)
	}
	if list.Exists() && len(site.Clusters) == 0 {
		list.Fail("There is no cluster: give at least one")
	}
	return site
}

// uniques remember whose name, address or MAC something is.
type uniques struct {
	names     map[string]string
	addresses map[netip.Addr]string
	macs      map[string]string
}

// nodes reads the list of a cluster's nodes. Each entry is one node, or ranges of
// names, of addresses and of MACs that are equally long.
func nodes(list *tree.Node, u uniques) []cluster.Node {
	var all []cluster.Node
	for _, n := range list.Items() {
		names := expand(n.Get("name").Must())
		addresses := expand(n.Get("address"))
		macs := n.Get("mac").Strings()
		if !n.Get("address").Exists() && !n.Get("mac").Exists() {
			n.Get("address").Must()
		}
		sameLength(n.Get("address"), len(names), len(addresses), "addresses")
		sameLength(n.Get("mac"), len(names), len(macs), "MAC addresses")
		for i, name := range names {
			node := cluster.Node{Name: name}
			if i < len(addresses) {
				node.Address = address(n.Get("address"), addresses[i])
			}
			if i < len(macs) {
				node.MAC = mac(n.Get("mac"), macs[i])
			}
			u.check(n, node)
			all = append(all, node)
		}
	}
	if list.Exists() && len(all) == 0 {
		list.Fail("There is no node: give at least one")
	}
	return all
}

func expand(n *tree.Node) []string {
	text := n.String("")
	if text == "" {
		return nil
	}
	names, err := nodeset.Expand(text)
	if err != nil {
		n.Fail("%v", err)
	}
	return names
}

func sameLength(n *tree.Node, names, others int, what string) {
	if n.Exists() && names != others {
		n.Fail("There are %d names, but %d %s", names, others, what)
	}
}

func mac(n *tree.Node, text string) string {
	hw, err := net.ParseMAC(text)
	if err != nil || len(hw) != 6 {
		n.Fail("Invalid value '%s', it must be a MAC address, as in 52:54:00:12:34:56", text)
	}
	return strings.ToLower(hw.String())
}

func (u uniques) check(n *tree.Node, node cluster.Node) {
	if _, taken := u.names[node.Name]; taken {
		n.Get("name").Fail("The node %s is given twice", node.Name)
	}
	u.names[node.Name] = node.Name
	if owner, taken := u.addresses[node.Address]; taken && node.Address.IsValid() {
		n.Get("address").Fail("The address %s of %s is already that of %s", node.Address, node.Name, owner)
	}
	u.addresses[node.Address] = node.Name
	if owner, taken := u.macs[node.MAC]; taken && node.MAC != "" {
		n.Get("mac").Fail("The MAC address %s of %s is already that of %s", node.MAC, node.Name, owner)
	}
	u.macs[node.MAC] = node.Name
}

// commands reads command.conf, which may be missing or empty.
func (l *loader) commands(site *cluster.Site) {
	known := make(map[string]*cluster.Cluster)
	for _, c := range site.Clusters {
		for _, n := range c.Nodes {
			known[n.Name] = c
		}
	}
	f := l.optional(commandFile)
	if f == nil {
		return
	}
	root := f.Root()
	for _, name := range root.Keys() {
		n := root.Get(name)
		c := known[name]
		if c == nil {
			n.Fail("The node '%s' is in no cluster: give the full name that it has in %s", name, clustersFiles[0])
			continue
		}
		if c.Remote.PerNode == nil {
			c.Remote.PerNode = make(map[string]cluster.NodeOps)
		}
		c.Remote.PerNode[name] = l.nodeOps(n)
	}
	f.close()
}

func (l *loader) nodeOps(n *tree.Node) cluster.NodeOps {
	var ops cluster.NodeOps
	known := map[string]*cluster.Command{"power_status": &ops.PowerStatus, "console": &ops.Console, "console_log": &ops.ConsoleLog}
	for level, name := range cluster.LevelNames {
		known["reboot_"+name] = &ops.Reboot[level]
		known["power_on_"+name] = &ops.PowerOn[level]
		known["power_off_"+name] = &ops.PowerOff[level]
	}
	for _, key := range n.Keys() {
		value := n.Get(key)
		if command := known[key]; command != nil {
			command.Line = l.command(value)
		} else {
			value.Fail("There is no command '%s': use reboot_soft, reboot_hard, reboot_very_hard, power_on_..., power_off_..., power_status, console or console_log", key)
		}
	}
	return ops
}
