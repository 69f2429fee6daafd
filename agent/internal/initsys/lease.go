package initsys

import (
	"cmp"
	"net"
	"strings"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
)

// Lease is what a DHCP server said, as far as the mini-OS uses it (RFC 2131, 2132).
type Lease struct {
	Address  net.IPNet
	Routes   []Route
	DNS      []net.IP
	Hostname string // as it was sent: short or complete
	Domain   string
	MTU      int
	Duration time.Duration
}

// Route is one route of a lease; a nil gateway means that the destination is on the link.
type Route struct {
	Destination net.IPNet
	Gateway     net.IP
}

// defaultDuration is used when a server does not say how long its lease lasts.
const defaultDuration = time.Hour

// readLease takes out of an acknowledgement what the mini-OS uses.
func readLease(ack *dhcpv4.DHCPv4) Lease {
	mask := ack.SubnetMask()
	if mask == nil {
		mask = ack.YourIPAddr.DefaultMask()
	}
	l := Lease{
		Address:  net.IPNet{IP: ack.YourIPAddr.To4(), Mask: mask},
		DNS:      ack.DNS(),
		Hostname: cleanName(ack.HostName()),
		Domain:   cleanName(ack.DomainName()),
		Duration: ack.IPAddressLeaseTime(defaultDuration),
	}
	if mtu, err := dhcpv4.GetUint16(dhcpv4.OptionInterfaceMTU, ack.Options); err == nil && mtu >= 576 {
		l.MTU = int(mtu)
	}
	// Classless routes, if sent, replace the router option (RFC 3442).
	for _, r := range ack.ClasslessStaticRoute() {
		route := Route{Destination: *r.Dest}
		if !r.Router.IsUnspecified() {
			route.Gateway = r.Router
		}
		l.Routes = append(l.Routes, route)
	}
	if len(l.Routes) == 0 && len(ack.Router()) > 0 {
		everything := net.IPNet{IP: net.IPv4zero.To4(), Mask: net.CIDRMask(0, 32)}
		l.Routes = append(l.Routes, Route{Destination: everything, Gateway: ack.Router()[0]})
	}
	return l
}

// Name is the node's complete name: the kernel argument's, else the server's, else made of the address.
func (l Lease) Name(argument string) string {
	if argument != "" {
		return argument
	}
	if l.Hostname == "" {
		return "node-" + strings.ReplaceAll(l.Address.IP.String(), ".", "-")
	}
	if l.Domain != "" && !strings.Contains(l.Hostname, ".") {
		return l.Hostname + "." + l.Domain
	}
	return l.Hostname
}

// cleanName refuses what cannot be a host's name: it ends up in files that other programs read.
func cleanName(name string) string {
	name = strings.TrimRight(name, "\x00.")
	ok := len(name) <= 253 && strings.IndexFunc(name, func(r rune) bool {
		return !(r == '-' || r == '.' || r == '_' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z')
	}) < 0
	if !ok {
		return ""
	}
	return name
}

// hostsFile is /etc/hosts for a node of that name and address.
func hostsFile(fqdn string, address net.IP) string {
	short, _, _ := strings.Cut(fqdn, ".")
	both := fqdn
	if short != fqdn {
		both += " " + short
	}
	return "127.0.0.1\tlocalhost\n" + address.String() + "\t" + both + "\n" +
		"::1\tlocalhost ip6-localhost ip6-loopback\n"
}

// resolvConf is /etc/resolv.conf. Short timeouts: what runs on a node must not hang on a dead name server.
func resolvConf(l Lease, fqdn string) string {
	_, domain, _ := strings.Cut(fqdn, ".")
	var b strings.Builder
	if domain = cmp.Or(l.Domain, domain); domain != "" {
		b.WriteString("search " + domain + "\n")
	}
	for _, server := range l.DNS {
		b.WriteString("nameserver " + server.String() + "\n")
	}
	b.WriteString("options timeout:2 attempts:2\n")
	return b.String()
}
