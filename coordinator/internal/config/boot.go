package config

import (
	"net/netip"
	"path/filepath"
	"strings"

	"kadeploy/coordinator/internal/tree"
)

func (l *loader) boot(n *tree.Node) *Boot {
	if !n.Exists() {
		return nil
	}
	dhcp := n.Get("dhcp")
	b := &Boot{
		Interface:            n.Get("interface").Must().String(""),
		Address:              prefix(n.Get("address")),
		HTTPPort:             port(n.Get("http_port"), 8069),
		TFTP:                 n.Get("tftp").Bool(true),
		TFTPPort:             port(n.Get("tftp_port"), 69),
		Repository:           l.directory(n.Get("repository").Must()),
		Loaders:              l.path(n.Get("loaders"), "/usr/lib/ipxe"),
		UEFILoader:           n.Get("uefi_loader").String(""),
		UserFiles:            l.directory(n.Get("user_files")),
		UserFilesMax:         mebibytes(n.Get("user_files_size"), 256),
		Params:               n.Get("params").String(""),
		RouterAdvertisements: n.Get("router_advertisements").Bool(false),
		DHCP: DHCP{
			Enabled: dhcp.Get("enabled").Bool(true),
			Router:  address(dhcp.Get("router"), dhcp.Get("router").String("")),
			Domain:  dhcp.Get("domain").String(""),
			Lease:   seconds(dhcp.Get("lease"), 24*60*60),
		},
	}
	for _, server := range dhcp.Get("dns").Strings() {
		b.DHCP.DNS = append(b.DHCP.DNS, address(dhcp.Get("dns"), server))
	}
	return b
}

// address reads an IP address; "" is none.
func address(n *tree.Node, text string) netip.Addr {
	if text == "" {
		return netip.Addr{}
	}
	a, err := netip.ParseAddr(text)
	if err != nil {
		n.Fail("Invalid value '%s', it must be an IP address", text)
	}
	return a
}

func prefix(n *tree.Node) netip.Prefix {
	text := n.String("")
	if text == "" {
		return netip.Prefix{}
	}
	p, err := netip.ParsePrefix(text)
	if err != nil {
		n.Fail("Invalid value '%s', it must be an address with its network's size, as in 10.0.0.1/24", text)
	}
	return p
}

func (l *loader) pxe(n *tree.Node) *PXE {
	if !n.Exists() {
		return nil
	}
	p := &PXE{DHCP: l.method(n.Get("dhcp").Must())}
	p.NetworkBoot, p.LocalBoot = p.DHCP, p.DHCP
	for _, other := range []struct {
		node *tree.Node
		into *PXEMethod
	}{{n.Get("networkboot"), &p.NetworkBoot}, {n.Get("localboot"), &p.LocalBoot}} {
		if other.node.Exists() {
			*other.into = l.method(other.node)
			other.into.Binary = other.node.Get("binary").Must().String("")
		}
	}
	users := n.Get("dhcp").Get("userfiles")
	p.DHCP.UserFiles = l.directory(users.Get("directory").Must())
	p.DHCP.UserFilesMax = mebibytes(users.Get("max_size").Must(), 0)
	p.DHCP.UserFilesConcurrent = between(users.Get("concurrency_level"), 10, 1, 1000)
	return p
}

func (l *loader) method(n *tree.Node) PXEMethod {
	export, profiles := n.Get("export"), n.Get("profiles")
	m := PXEMethod{
		Method:            n.Get("method").Must().Choice("", "PXElinux", "GPXElinux", "IPXE", "GrubPXE"),
		Repository:        l.directory(n.Get("repository").Must()),
		ExportKind:        export.Get("kind").Choice("tftp", "tftp", "http", "ftp"),
		ExportServer:      export.Get("server").String("LOCAL_IP"),
		ProfilesDirectory: profiles.Get("directory").String("pxelinux.cfg"),
		ProfilesFilename:  profiles.Get("filename").Choice("ip_hex", "ip_hex", "ip", "hostname", "hostname_short"),
	}
	if !strings.HasPrefix(m.ProfilesDirectory, "/") {
		m.ProfilesDirectory = filepath.Join(m.Repository, m.ProfilesDirectory)
	}
	return m
}
