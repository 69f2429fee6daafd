package boot

import (
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/iana"

	"kadeploy/coordinator/internal/cluster"
)

var testNodes = []cluster.Node{
	{Name: "node-1.site.lab", Address: netip.MustParseAddr("10.0.0.11"), MAC: "52:54:00:00:00:01"},
	{Name: "node-2.site.lab", Address: netip.MustParseAddr("10.0.0.12"), MAC: "52:54:00:00:00:02"},
	{Name: "node-3.site.lab", Address: netip.MustParseAddr("10.0.0.13")}, // no MAC: DHCP is another's job
}

func testDHCP(t testing.TB, log *slog.Logger) *dhcp {
	t.Helper()
	nodes, err := newIndex(testNodes)
	if err != nil {
		t.Fatal(err)
	}
	cfg := &Config{
		Address: netip.MustParsePrefix("10.0.0.1/24"), Router: netip.MustParseAddr("10.0.0.254"),
		DNS: []netip.Addr{netip.MustParseAddr("10.0.0.53")}, Lease: time.Hour, UEFILoader: uefiLoader, Logger: log,
	}
	return newDHCP(cfg, nodes, "http://10.0.0.1:8069")
}

func mac(s string) net.HardwareAddr {
	hw, err := net.ParseMAC(s)
	if err != nil {
		panic(err)
	}
	return hw
}

func request(t testing.TB, hw string, kind dhcpv4.MessageType, mods ...dhcpv4.Modifier) []byte {
	t.Helper()
	m, err := dhcpv4.NewDiscovery(mac(hw), append([]dhcpv4.Modifier{dhcpv4.WithMessageType(kind)}, mods...)...)
	if err != nil {
		t.Fatal(err)
	}
	return m.ToBytes()
}

func option(o dhcpv4.Option) dhcpv4.Modifier { return dhcpv4.WithOption(o) }

// TestBootFile: what each sort of firmware is told to load.
func TestBootFile(t *testing.T) {
	d := testDHCP(t, slog.New(slog.DiscardHandler))
	pxe := func(class string, arch iana.Arch) []dhcpv4.Modifier {
		return []dhcpv4.Modifier{option(dhcpv4.OptClassIdentifier(class)), option(dhcpv4.OptClientArch(arch))}
	}
	const script = "http://10.0.0.1:8069/boot.ipxe"
	for _, tc := range []struct {
		name  string
		mods  []dhcpv4.Modifier
		file  string
		class string // vendor class of the answer
		ipxe  []byte // option 175 of the answer
	}{
		{name: "operating system"},
		{name: "BIOS", mods: pxe("PXEClient:Arch:00000:UNDI:002001", iana.INTEL_X86PC), file: "undionly.kpxe"},
		{name: "UEFI, arch 7", mods: pxe("PXEClient:Arch:00007:UNDI:003016", iana.EFI_X86_64), file: "snponly.efi"},
		{name: "UEFI, arch 9", mods: pxe("PXEClient:Arch:00009:UNDI:003016", iana.EFI_BC), file: "snponly.efi"},
		{name: "UEFI by HTTP", mods: pxe("HTTPClient:Arch:00016:UNDI:003001", iana.EFI_X86_64_HTTP),
			file: "http://10.0.0.1:8069/loaders/snponly.efi", class: "HTTPClient"},
		{name: "ARM", mods: pxe("PXEClient:Arch:00011:UNDI:003016", iana.EFI_ARM64)},
		{name: "iPXE by user class", mods: append(pxe("PXEClient:Arch:00000", iana.INTEL_X86PC), dhcpv4.WithUserClass("iPXE", false)),
			file: script, ipxe: []byte{176, 1, 1}},
		{name: "iPXE by formatted user class", mods: []dhcpv4.Modifier{dhcpv4.WithUserClass("iPXE", true)}, file: script, ipxe: []byte{176, 1, 1}},
		{name: "iPXE by option, with HTTP", mods: append(pxe("PXEClient:Arch:00007", iana.EFI_X86_64),
			option(dhcpv4.OptGeneric(optIPXE, []byte{19, 1, 1, 21, 1, 1}))), file: script, ipxe: []byte{176, 1, 1}},
		{name: "iPXE without HTTP", mods: append(pxe("PXEClient:Arch:00007", iana.EFI_X86_64),
			option(dhcpv4.OptGeneric(optIPXE, []byte{21, 1, 1}))), file: "snponly.efi"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			reply, to := d.answer(request(t, testNodes[0].MAC, dhcpv4.MessageTypeDiscover, tc.mods...))
			if reply == nil {
				t.Fatal("no answer")
			}
			if to.String() != "255.255.255.255:68" {
				t.Errorf("answered to %s", to)
			}
			// What counts is what a client reads from the wire.
			reply, err := dhcpv4.FromBytes(reply.ToBytes())
			if err != nil {
				t.Fatal(err)
			}
			if got := reply.BootFileName; got != tc.file {
				t.Errorf("file = %q, want %q", got, tc.file)
			}
			if got := reply.BootFileNameOption(); got != tc.file {
				t.Errorf("option 67 = %q, want %q", got, tc.file)
			}
			if next := reply.ServerIPAddr.String(); (next == "10.0.0.1") != (tc.file != "") {
				t.Errorf("next server = %s", next)
			}
			if got := reply.ClassIdentifier(); got != tc.class {
				t.Errorf("vendor class = %q, want %q", got, tc.class)
			}
			if diff := cmp.Diff(tc.ipxe, reply.Options.Get(optIPXE)); diff != "" {
				t.Errorf("option 175 (-want +got):\n%s", diff)
			}
		})
	}
}

// TestReplyType: RFC 2131's exchanges, and to whom the answer goes.
func TestReplyType(t *testing.T) {
	d := testDHCP(t, slog.New(slog.DiscardHandler))
	ip := net.ParseIP
	const own, broadcast = "52:54:00:00:00:01", "255.255.255.255:68"
	for _, tc := range []struct {
		name string
		raw  []byte
		want string
		to   string
	}{
		{"discover", request(t, own, dhcpv4.MessageTypeDiscover), "OFFER", broadcast},
		{"request", request(t, own, dhcpv4.MessageTypeRequest, option(dhcpv4.OptRequestedIPAddress(ip("10.0.0.11"))),
			option(dhcpv4.OptServerIdentifier(ip("10.0.0.1")))), "ACK", broadcast},
		{"request to another server", request(t, own, dhcpv4.MessageTypeRequest, option(dhcpv4.OptRequestedIPAddress(ip("10.0.0.11"))),
			option(dhcpv4.OptServerIdentifier(ip("10.0.0.2")))), "", ""},
		{"request for a wrong address", request(t, own, dhcpv4.MessageTypeRequest, option(dhcpv4.OptRequestedIPAddress(ip("10.0.0.12")))), "NAK", broadcast},
		{"renewal", request(t, own, dhcpv4.MessageTypeRequest, dhcpv4.WithClientIP(ip("10.0.0.11"))), "ACK", "10.0.0.11:68"},
		{"renewal of a wrong address", request(t, own, dhcpv4.MessageTypeRequest, dhcpv4.WithClientIP(ip("10.0.0.99"))), "NAK", broadcast},
		{"through a relay", request(t, own, dhcpv4.MessageTypeDiscover, dhcpv4.WithGatewayIP(ip("10.9.0.1"))), "OFFER", "10.9.0.1:67"},
		{"inform", request(t, own, dhcpv4.MessageTypeInform, dhcpv4.WithClientIP(ip("10.0.0.11"))), "ACK", "10.0.0.11:68"},
		{"release", request(t, own, dhcpv4.MessageTypeRelease), "", ""},
		{"decline", request(t, own, dhcpv4.MessageTypeDecline), "", ""},
		{"unknown machine", request(t, "52:54:00:00:00:77", dhcpv4.MessageTypeDiscover), "", ""},
		{"garbage", []byte("not DHCP"), "", ""},
		{"empty", nil, "", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			reply, to := d.answer(tc.raw)
			got := ""
			if reply != nil {
				got = reply.MessageType().String()
			}
			if got != tc.want {
				t.Fatalf("answer = %q, want %q", got, tc.want)
			}
			if got != "" && to.String() != tc.to {
				t.Errorf("goes to %s, want %s", to, tc.to)
			}
		})
	}
}

func TestOptionsOfAnAnswer(t *testing.T) {
	d := testDHCP(t, slog.New(slog.DiscardHandler))
	raw, _ := d.answer(request(t, testNodes[1].MAC, dhcpv4.MessageTypeDiscover))
	m, err := dhcpv4.FromBytes(raw.ToBytes())
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{
		"address": m.YourIPAddr.String(), "mask": net.IP(m.SubnetMask()).String(), "router": m.Router()[0].String(),
		"dns": m.DNS()[0].String(), "lease": m.IPAddressLeaseTime(0).String(), "host": m.HostName(),
		"domain": m.DomainName(), "server": m.ServerIdentifier().String(),
	}
	want := map[string]string{
		"address": "10.0.0.12", "mask": "255.255.255.0", "router": "10.0.0.254", "dns": "10.0.0.53",
		"lease": "1h0m0s", "host": "node-2.site.lab", "domain": "site.lab", "server": "10.0.0.1",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("offer (-want +got):\n%s", diff)
	}
}

func TestStrangersAreLoggedOnce(t *testing.T) {
	var log strings.Builder
	d := testDHCP(t, slog.New(slog.NewTextHandler(&log, nil)))
	for range 3 {
		d.answer(request(t, "52:54:00:00:00:77", dhcpv4.MessageTypeDiscover))
	}
	if n := strings.Count(log.String(), "52:54:00:00:00:77"); n != 1 {
		t.Errorf("logged %d times:\n%s", n, log.String())
	}
	for i := range 3 * maxStrangers {
		hw := net.HardwareAddr{2, 0, 0, 0, byte(i >> 8), byte(i)}
		d.answer(request(t, hw.String(), dhcpv4.MessageTypeDiscover))
	}
	if len(d.strangers) > maxStrangers {
		t.Errorf("%d strangers are remembered", len(d.strangers))
	}
}

func TestIndexRefusesAmbiguousNodes(t *testing.T) {
	a := netip.MustParseAddr
	for name, nodes := range map[string][]cluster.Node{
		"same address": {{Name: "a", Address: a("10.0.0.1")}, {Name: "b", Address: a("10.0.0.1")}},
		"same MAC":     {{Name: "a", Address: a("10.0.0.1"), MAC: "02:00:00:00:00:01"}, {Name: "b", Address: a("10.0.0.2"), MAC: "02-00-00-00-00-01"}},
		"bad MAC":      {{Name: "a", Address: a("10.0.0.1"), MAC: "02:00"}},
		"no address":   {{Name: "a"}},
		"IPv6":         {{Name: "a", Address: a("fe80::1")}},
		"bad name":     {{Name: "a b", Address: a("10.0.0.1")}},
	} {
		if _, err := newIndex(nodes); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// FuzzAnswer: whatever arrives, the handler does not fall over, answers only
// known machines, and gives nobody another one's address.
func FuzzAnswer(f *testing.F) {
	for _, kind := range []dhcpv4.MessageType{dhcpv4.MessageTypeDiscover, dhcpv4.MessageTypeRequest, dhcpv4.MessageTypeInform} {
		f.Add(request(f, testNodes[0].MAC, kind, dhcpv4.WithUserClass("iPXE", false), dhcpv4.WithClientIP(net.ParseIP("10.0.0.11")),
			option(dhcpv4.OptClientArch(iana.EFI_X86_64)), option(dhcpv4.OptGeneric(optIPXE, []byte{19, 1, 1})),
			option(dhcpv4.OptClassIdentifier("HTTPClient")), option(dhcpv4.OptRelayAgentInfo())))
	}
	d := testDHCP(f, slog.New(slog.DiscardHandler))
	f.Fuzz(func(t *testing.T, raw []byte) {
		reply, to := d.answer(raw)
		if reply == nil {
			return
		}
		sent, err := dhcpv4.FromBytes(reply.ToBytes())
		if err != nil {
			t.Fatalf("the answer cannot be read: %v", err)
		}
		node := d.nodes.byMAC[string(sent.ClientHWAddr)]
		if node == nil {
			t.Fatalf("answered the unknown %s", sent.ClientHWAddr)
		}
		if !sent.YourIPAddr.IsUnspecified() && !sent.YourIPAddr.Equal(node.Address.AsSlice()) {
			t.Fatalf("gave %s the address %s", node.Name, sent.YourIPAddr)
		}
		if !to.Addr().Is4() || to.Addr().IsMulticast() {
			t.Fatalf("answered to %s", to)
		}
	})
}
