package profilefile

import (
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite the golden files under testdata")

var (
	tftp = Export{Kind: "tftp"}
	web  = Export{Kind: "http", Server: "10.0.0.1"}
)

// TestProfiles: every method, use and export, one golden file for each method.
func TestProfiles(t *testing.T) {
	network := Network{Kernel: "vmlinuz-minios", Initrd: "initrd-minios", Params: "console=ttyS0 quiet"}
	bare := Network{Header: "# site header\ntimeout=5\n", Kernel: "/memtest"}
	linux := Local{Device: "/dev/sda", Partition: 3, OS: "linux", Root: "/dev/sda3", Kernel: "/vmlinuz", Initrd: "/initrd.img", Params: "quiet"}
	xen := Local{Header: "# header", Device: "/dev/vdb", Partition: 2, OS: "xen", Root: "/dev/vdb2", Kernel: "/vmlinuz", Initrd: "/initrd.img",
		Hypervisor: "/xen.gz", HyperOptions: "dom0_mem=512M"}
	other := Local{Device: "/dev/hda", OS: "other"}
	for method, exports := range map[Method][]Export{
		PXELinux: {tftp}, GPXELinux: {tftp, web}, IPXE: {tftp, web}, GrubPXE: {tftp, web},
	} {
		var out strings.Builder
		for _, e := range exports {
			add := func(what string, text string, err error) {
				t.Helper()
				if err != nil {
					t.Fatalf("%s %s: %v", method, what, err)
				}
				out.WriteString("== " + what + " by " + e.Kind + "\n" + text)
			}
			text, err := method.Network(e, network)
			add("network", text, err)
			text, err = method.Network(e, bare)
			add("network, without initrd, with header", text, err)
			text, err = method.Local(e, linux)
			add("local linux", text, err)
			text, err = method.Local(e, xen)
			add("local xen", text, err)
			text, err = method.Local(e, other)
			add("local other", text, err)
			text, err = method.Chain(e, "", "pxelinux.0")
			add("chain", text, err)
			text, err = method.FilesPrefix(e, "/userfiles/", "bob")
			add("files prefix", text+"\n", err)
		}
		file := filepath.Join("testdata", string(method)+".txt")
		if *update {
			if err := os.WriteFile(file, []byte(out.String()), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), out.String()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", file, diff)
		}
	}
}

func TestRefused(t *testing.T) {
	for name, try := range map[string]func() (string, error){
		"PXELINUX by HTTP": func() (string, error) { return PXELinux.Network(web, Network{Kernel: "k"}) },
		"GRUB by FTP":      func() (string, error) { return GrubPXE.Chain(Export{Kind: "ftp"}, "", "b") },
		"iPXE by NFS":      func() (string, error) { return IPXE.FilesPrefix(Export{Kind: "nfs"}, "d", "u") },
		"unknown method":   func() (string, error) { return Method("LILO").Network(tftp, Network{}) },
		"disk by its path": func() (string, error) { return IPXE.Local(tftp, Local{Device: "/dev/disk/by-path/x"}) },
		"second namespace": func() (string, error) { return IPXE.Local(tftp, Local{Device: "/dev/nvme0n2"}) },
		"unknown naming":   func() (string, error) { return Naming("mac").FileName("n", netip.MustParseAddr("10.0.0.1")) },
		"hex of IPv6":      func() (string, error) { return IPHex.FileName("n", netip.MustParseAddr("fe80::1")) },
		"no address":       func() (string, error) { return IP.FileName("n", netip.Addr{}) },
		"path as name":     func() (string, error) { return Hostname.FileName("../n", netip.Addr{}) },
	} {
		if got, err := try(); err == nil {
			t.Errorf("%s: no error but %q", name, got)
		}
	}
}

func TestBIOSDisk(t *testing.T) {
	for device, want := range map[string]int{"/dev/sda": 0, "/dev/vdc": 2, "/dev/nvme1n1": 1, "/dev/mmcblk0": 0, "disk1": 1, "sdb": 1} {
		if got, err := biosDisk(device); err != nil || got != want {
			t.Errorf("biosDisk(%s) = %d, %v; want %d", device, got, err, want)
		}
	}
}

func TestFileName(t *testing.T) {
	address := netip.MustParseAddr("192.168.10.254")
	for naming, want := range map[Naming]string{IPHex: "C0A80AFE", IP: "192.168.10.254", Hostname: "n-1.site.lab", HostnameShort: "n-1"} {
		if got, err := naming.FileName("n-1.site.lab", address); err != nil || got != want {
			t.Errorf("%s: %q, %v; want %q", naming, got, err, want)
		}
	}
	if got, _ := IPHex.FileName("n", netip.MustParseAddr("1.2.3.4")); got != "01020304" {
		t.Errorf("ip_hex = %q, want 8 digits", got)
	}
}

func TestCustom(t *testing.T) {
	const profile = "KERNEL FILES_PREFIX--k\nAPPEND id=NODE_SINGULARITY\r\n"
	if got := Custom(profile, "7", "/userfiles/pxe-bob"); got != "KERNEL /userfiles/pxe-bob--k\nAPPEND id=7\r\n" {
		t.Errorf("Custom = %q", got)
	}
	if got := Custom(profile, "", "/p"); got != "KERNEL /p--k\nAPPEND id=NODE_SINGULARITY\r\n" {
		t.Errorf("Custom = %q", got)
	}
}

func TestWrite(t *testing.T) {
	dir := t.TempDir()
	for _, text := range []string{"first, longer\n", "second\n"} {
		if err := Write(dir, "C0A80001", text); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(filepath.Join(dir, "C0A80001"))
		if err != nil || string(got) != text {
			t.Errorf("%q, %v", got, err)
		}
	}
	info, err := os.Stat(filepath.Join(dir, "C0A80001"))
	if err != nil || info.Mode().Perm() != 0o644 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if err := os.Mkdir(filepath.Join(dir, "taken"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := Write(dir, "taken", "x"); err == nil || !strings.Contains(err.Error(), "taken") {
		t.Errorf("over a directory: %v", err)
	}
	if err := Write("/nowhere", "n", "x"); err == nil {
		t.Error("into no directory: no error")
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".profile-*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}
