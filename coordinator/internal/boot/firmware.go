package boot

import (
	"strings"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/iana"
)

// firmware is what sort of client asks for an address, and so which boot file it can use.
type firmware int

const (
	noBoot     firmware = iota // not booting: an operating system's DHCP client, or an architecture without a loader
	ipxeScript                 // iPXE with HTTP: it takes the script at once
	biosPXE                    // arch 0
	uefiPXE                    // arch 7, 9
	uefiHTTP                   // arch 16, vendor class HTTPClient
	unknownPXE                 // a network boot that no loader is known for
)

// Option 175 holds iPXE's encapsulated options (https://ipxe.org/howto/dhcpd).
const (
	optIPXE         = dhcpv4.GenericOptionCode(175)
	ipxeFeatureHTTP = 19  // in requests: this iPXE can fetch by HTTP
	ipxeNoProxyDHCP = 176 // in replies: do not wait for a ProxyDHCP server
)

// firmwareOf reads RFC 4578's architecture, the vendor class, and iPXE's own marks.
func firmwareOf(m *dhcpv4.DHCPv4) firmware {
	if isIPXE(m) && ipxeHasHTTP(m) {
		return ipxeScript
	}
	class := m.ClassIdentifier()
	netboot := strings.HasPrefix(class, "PXEClient") || strings.HasPrefix(class, "HTTPClient") || isIPXE(m)
	if !netboot {
		return noBoot
	}
	for _, arch := range m.ClientArch() {
		switch arch {
		case iana.INTEL_X86PC:
			return biosPXE
		case iana.EFI_BC, iana.EFI_X86_64:
			return uefiPXE
		case iana.EFI_X86_64_HTTP:
			return uefiHTTP
		}
	}
	return unknownPXE
}

// isIPXE knows iPXE by its user class, which it sends unformatted, or by its option.
func isIPXE(m *dhcpv4.DHCPv4) bool {
	for _, class := range m.UserClass() {
		if class == "iPXE" {
			return true
		}
	}
	return string(m.Options.Get(dhcpv4.OptionUserClassInformation)) == "iPXE" || m.Options.Has(optIPXE)
}

// ipxeHasHTTP is false for the cut-down iPXE of some network cards, which first
// has to load a complete one. Without a list of features the best is assumed.
func ipxeHasHTTP(m *dhcpv4.DHCPv4) bool {
	list := m.Options.Get(optIPXE)
	if len(list) == 0 {
		return true
	}
	features := dhcpv4.Options{}
	if err := features.FromBytes(list); err != nil {
		return true
	}
	return features.Has(dhcpv4.GenericOptionCode(ipxeFeatureHTTP))
}
