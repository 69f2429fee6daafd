package config

import (
	"strings"

	"kadeploy/coordinator/internal/cluster"
	"kadeploy/coordinator/internal/tree"
)

// bmc reads how the management controllers of a cluster are reached. The password
// stands in a file of its own, which need not be readable by those who read the configuration.
func (l *loader) bmc(n *tree.Node) *cluster.BMC {
	if !n.Exists() {
		return nil
	}
	b := &cluster.BMC{
		Driver:   n.Get("driver").Must().Choice(cluster.IPMI, cluster.IPMI, cluster.Redfish),
		Address:  n.Get("address").Must().String(""),
		User:     n.Get("user").Must().String(""),
		CA:       l.content(n.Get("ca")),
		Insecure: n.Get("insecure").Bool(false),
	}
	if b.Address != "" && !strings.Contains(b.Address, "HOSTNAME_") {
		n.Get("address").Fail("Invalid value '%s', it must have HOSTNAME_FQDN or HOSTNAME_SHORT in it: each node has a controller of its own", b.Address)
	}
	file := n.Get("password_file").Must()
	b.Password = strings.TrimRight(string(l.content(file)), "\r\n")
	if strings.ContainsAny(b.Password, "\r\n") {
		file.Fail("%s has more than one line: put only the password there", l.path(file, ""))
	}
	return b
}
