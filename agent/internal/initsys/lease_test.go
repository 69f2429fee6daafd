package initsys

import (
	"net"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/insomniacslk/dhcp/dhcpv4"
)

func ack(t testing.TB, options ...dhcpv4.Option) *dhcpv4.DHCPv4 {
	t.Helper()
	modifiers := []dhcpv4.Modifier{dhcpv4.WithYourIP(net.IPv4(10, 1, 0, 7))}
	for _, o := range options {
		modifiers = append(modifiers, dhcpv4.WithOption(o))
	}
	d, err := dhcpv4.New(modifiers...)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestReadLease(t *testing.T) {
	mask24 := dhcpv4.OptSubnetMask(net.CIDRMask(24, 32))
	router := dhcpv4.OptRouter(net.IPv4(10, 1, 0, 1))
	for _, test := range []struct {
		name    string
		options []dhcpv4.Option
		address string
		routes  []string // "destination gateway"
		check   func(Lease) bool
	}{
		{"bare", nil, "10.1.0.7/8", nil, func(l Lease) bool { return l.Duration == time.Hour && l.MTU == 0 }},
		{"usual", []dhcpv4.Option{mask24, router, dhcpv4.OptIPAddressLeaseTime(10 * time.Minute), dhcpv4.OptHostName("n-7"), dhcpv4.OptDomainName("lab\x00")},
			"10.1.0.7/24", []string{"0.0.0.0/0 10.1.0.1"},
			func(l Lease) bool { return l.Duration == 10*time.Minute && l.Name("") == "n-7.lab" }},
		{"classless routes replace the router", []dhcpv4.Option{mask24, router, dhcpv4.OptClasslessStaticRoute(
			&dhcpv4.Route{Dest: &net.IPNet{IP: net.IPv4(10, 9, 0, 0).To4(), Mask: net.CIDRMask(16, 32)}, Router: net.IPv4(10, 1, 0, 2)},
			&dhcpv4.Route{Dest: &net.IPNet{IP: net.IPv4(10, 8, 0, 0).To4(), Mask: net.CIDRMask(16, 32)}, Router: net.IPv4zero})},
			"10.1.0.7/24", []string{"10.9.0.0/16 10.1.0.2", "10.8.0.0/16 <nil>"}, nil},
		{"MTU", []dhcpv4.Option{dhcpv4.OptGeneric(dhcpv4.OptionInterfaceMTU, []byte{0x23, 0x28})}, "10.1.0.7/8", nil,
			func(l Lease) bool { return l.MTU == 9000 }},
		{"MTU too small to be meant", []dhcpv4.Option{dhcpv4.OptGeneric(dhcpv4.OptionInterfaceMTU, []byte{0, 1})}, "10.1.0.7/8", nil,
			func(l Lease) bool { return l.MTU == 0 }},
		{"a name that is none", []dhcpv4.Option{dhcpv4.OptHostName("n; reboot\n")}, "10.1.0.7/8", nil,
			func(l Lease) bool { return l.Hostname == "" && l.Name("") == "node-10-1-0-7" }},
	} {
		l := readLease(ack(t, test.options...))
		if got := l.Address.String(); got != test.address {
			t.Errorf("%s: address %s, want %s", test.name, got, test.address)
		}
		var routes []string
		for _, r := range l.Routes {
			routes = append(routes, r.Destination.String()+" "+r.Gateway.String())
		}
		if diff := cmp.Diff(test.routes, routes); diff != "" {
			t.Errorf("%s: routes (-want +got):\n%s", test.name, diff)
		}
		if test.check != nil && !test.check(l) {
			t.Errorf("%s: lease %+v", test.name, l)
		}
	}
}

func TestLeaseName(t *testing.T) {
	l := Lease{Address: net.IPNet{IP: net.IPv4(10, 0, 0, 1)}, Hostname: "n-1.other", Domain: "lab"}
	for argument, want := range map[string]string{"": "n-1.other", "n-1.lab": "n-1.lab"} {
		if got := l.Name(argument); got != want {
			t.Errorf("Name(%q) = %q, want %q", argument, got, want)
		}
	}
}

func TestNameFiles(t *testing.T) {
	const hosts = "127.0.0.1\tlocalhost\n10.1.0.7\tn-7.lab n-7\n::1\tlocalhost ip6-localhost ip6-loopback\n"
	if diff := cmp.Diff(hosts, hostsFile("n-7.lab", net.IPv4(10, 1, 0, 7))); diff != "" {
		t.Errorf("hosts (-want +got):\n%s", diff)
	}
	const resolv = "search lab\nnameserver 10.1.0.1\noptions timeout:2 attempts:2\n"
	if diff := cmp.Diff(resolv, resolvConf(Lease{DNS: []net.IP{net.IPv4(10, 1, 0, 1)}}, "n-7.lab")); diff != "" {
		t.Errorf("resolv.conf (-want +got):\n%s", diff)
	}
}

func FuzzReadLease(f *testing.F) {
	f.Add(ack(f, dhcpv4.OptHostName("n"), dhcpv4.OptRouter(net.IPv4(10, 1, 0, 1))).ToBytes())
	f.Fuzz(func(t *testing.T, packet []byte) {
		d, err := dhcpv4.FromBytes(packet)
		if err != nil {
			return
		}
		l := readLease(d)
		if cleanName(l.Name("")) == "" {
			t.Errorf("name %q of %+v would break /etc/hosts", l.Name(""), l)
		}
	})
}
