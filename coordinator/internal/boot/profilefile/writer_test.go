package profilefile

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func read(t *testing.T, path ...string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// TestWriter: a node whose loader for the disk is another than the one that DHCP starts
// gets two profiles, of which the first hands over.
func TestWriter(t *testing.T) {
	pxe, grub := t.TempDir(), t.TempDir()
	files := Export{Kind: "tftp"}
	w := &Writer{
		DHCP:      Place{Method: PXELinux, Export: files, Directory: pxe, Naming: IPHex},
		Network:   Place{Method: PXELinux, Export: files, Directory: pxe, Naming: IPHex},
		Local:     Place{Method: GrubPXE, Export: files, Directory: grub, Naming: HostnameShort, Binary: "grub.0"},
		UserFiles: "userfiles",
	}
	if err := w.Check(); err != nil {
		t.Error(err)
	}
	m := Machine{
		Name: "n-1.site", Addresses: []netip.Addr{netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.4.0.1")},
		Headers: Headers{DHCP: "# dhcp", Network: "# net", Local: "# local"},
	}
	if err := w.ToNetwork(m, Network{Kernel: "vmlinuz", Initrd: "initrd", Params: "quiet"}); err != nil {
		t.Fatal(err)
	}
	const network = "# net\nDEFAULT network\nLABEL network\n\tKERNEL /vmlinuz\n\tAPPEND initrd=/initrd quiet\n"
	for _, name := range []string{"0A000001", "0A040001"} {
		if diff := cmp.Diff(network, read(t, pxe, name)); diff != "" {
			t.Errorf("profile %s (-want +got):\n%s", name, diff)
		}
	}
	if err := w.ToLocal(m, Local{Device: "/dev/sda", Partition: 3, OS: "linux", Root: "/dev/sda3", Kernel: "/boot/vmlinuz", Initrd: "/boot/initrd"}); err != nil {
		t.Fatal(err)
	}
	if got, want := read(t, pxe, "0A000001"), "# dhcp\nDEFAULT chain\nLABEL chain\n\tKERNEL /grub.0\n\tAPPEND keeppxe\n"; got != want {
		t.Errorf("profile that hands over = %q, want %q", got, want)
	}
	if got := read(t, grub, "n-1"); !strings.Contains(got, "# local\n") || !strings.Contains(got, "linux /boot/vmlinuz root=/dev/sda3\n") {
		t.Errorf("local profile = %q", got)
	}
	if err := w.ToCustom(m, "KERNEL FILES_PREFIX--k NODE_SINGULARITY\n", "5", "bob"); err != nil {
		t.Fatal(err)
	}
	if got, want := read(t, pxe, "0A000001"), "KERNEL /userfiles/pxe-bob--k 5\n"; got != want {
		t.Errorf("custom profile = %q, want %q", got, want)
	}
}

// TestWriterRefuses: what no loader could boot is an error that names the node, and the old profile stays.
func TestWriterRefuses(t *testing.T) {
	dir := t.TempDir()
	p := Place{Method: IPXE, Export: Export{Kind: "tftp"}, Directory: dir, Naming: IP}
	w := &Writer{DHCP: p, Network: p, Local: p}
	m := Machine{Name: "n-1", Addresses: []netip.Addr{netip.MustParseAddr("10.0.0.1")}}
	if err := w.ToNetwork(m, Network{Kernel: "k"}); err != nil {
		t.Fatal(err)
	}
	before := read(t, dir, "10.0.0.1")
	if err := w.ToLocal(m, Local{Device: "/dev/md0", Partition: 3}); err == nil || !strings.Contains(err.Error(), "n-1") {
		t.Errorf("RAID: %v", err)
	}
	if err := w.ToNetwork(Machine{Name: "n-2"}, Network{Kernel: "k"}); err == nil {
		t.Error("a node without an address: no error")
	}
	if got := read(t, dir, "10.0.0.1"); got != before {
		t.Errorf("profile after a refusal = %q, want %q", got, before)
	}
	w.Local.Directory, w.UserFiles = filepath.Join(dir, "missing"), "/abs"
	if err := w.Check(); err == nil || !strings.Contains(err.Error(), "missing") || !strings.Contains(err.Error(), "/abs") {
		t.Errorf("Check: %v", err)
	}
}
