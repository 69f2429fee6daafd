package boot

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"

	"kadeploy/coordinator/internal/cluster"
)

// index finds nodes by what they show of themselves on the network.
type index struct {
	byMAC     map[string]*cluster.Node // key: raw hardware address
	byAddress map[netip.Addr]*cluster.Node
}

// newIndex refuses nodes that could not be told apart. A node without a MAC is
// not answered by DHCP, but may boot through another server.
func newIndex(nodes []cluster.Node) (*index, error) {
	ix := &index{byMAC: map[string]*cluster.Node{}, byAddress: map[netip.Addr]*cluster.Node{}}
	var errs []error
	for i := range nodes {
		n := &nodes[i]
		if !validHost(n.Name) {
			errs = append(errs, fmt.Errorf("node %q: not a host name", n.Name))
		}
		if !n.Address.Is4() {
			errs = append(errs, fmt.Errorf("node %s: address %s is not IPv4", n.Name, n.Address))
		} else if other, taken := ix.byAddress[n.Address]; taken {
			errs = append(errs, fmt.Errorf("nodes %s and %s have the same address %s", other.Name, n.Name, n.Address))
		}
		ix.byAddress[n.Address] = n
		if n.MAC == "" {
			continue
		}
		mac, err := net.ParseMAC(n.MAC)
		if err != nil || len(mac) != 6 {
			errs = append(errs, fmt.Errorf("node %s: %q is not an Ethernet address", n.Name, n.MAC))
			continue
		}
		if other, taken := ix.byMAC[string(mac)]; taken {
			errs = append(errs, fmt.Errorf("nodes %s and %s have the same MAC %s", other.Name, n.Name, mac))
		}
		ix.byMAC[string(mac)] = n
	}
	return ix, errors.Join(errs...)
}

// validHost tells whether a name can stand in a script or on a kernel's command line.
func validHost(name string) bool {
	return name != "" && strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_") == ""
}

// domainOf is what follows the first dot of a host name.
func domainOf(name string) string {
	_, domain, _ := strings.Cut(name, ".")
	return domain
}
