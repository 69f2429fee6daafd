package lab

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"regexp"
	"strings"
)

// Accelerators that Options may name.
const (
	Auto = "auto" // KVM if a guest really runs with it, else TCG
	TCG  = "tcg"
	KVM  = "kvm"
)

// Options say what lab to make. The zero value of each field means its default.
type Options struct {
	Directory   string // files of the lab; default var/lab
	Name        string // tells labs on one machine apart; default "demo"
	Nodes       int    // default 3
	DiskBytes   int64  // of each disk; default 8 GiB, sparse
	Disks       int    // of each node; default 1
	SCSI        bool   // disks are /dev/sda, ... instead of /dev/vda, ...
	MemoryMiB   int    // default 1024
	UEFI        bool   // OVMF instead of SeaBIOS
	Accelerator string // Auto, TCG or KVM; default Auto
	Logger      *slog.Logger
}

// Limits of what the addresses, and patience, have room for.
const (
	maxNodes     = 100
	maxDisks     = 8
	minDisk      = 64 << 20
	minMemoryMiB = 128
)

// A name becomes a part of a file name and of the namespace's name.
var validName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,31}$`)

func (o Options) withDefaults() Options {
	if o.Directory == "" {
		o.Directory = "var/lab"
	}
	if o.Name == "" {
		o.Name = "demo"
	}
	if o.Nodes == 0 {
		o.Nodes = 3
	}
	if o.DiskBytes == 0 {
		o.DiskBytes = 8 << 30
	}
	if o.Disks == 0 {
		o.Disks = 1
	}
	if o.MemoryMiB == 0 {
		o.MemoryMiB = 1024
	}
	if o.Accelerator == "" {
		o.Accelerator = Auto
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

func (o Options) check() error {
	switch {
	case !validName.MatchString(o.Name):
		return fmt.Errorf("lab name %q: use up to 32 lower-case letters, digits and dashes", o.Name)
	case o.Nodes < 1 || o.Nodes > maxNodes:
		return fmt.Errorf("%d nodes: a lab has 1 to %d", o.Nodes, maxNodes)
	case o.Disks < 1 || o.Disks > maxDisks:
		return fmt.Errorf("%d disks: a node has 1 to %d", o.Disks, maxDisks)
	case o.DiskBytes < minDisk:
		return fmt.Errorf("disks of %d bytes: a node needs at least %d", o.DiskBytes, minDisk)
	case o.MemoryMiB < minMemoryMiB:
		return fmt.Errorf("%d MiB of memory: a node needs at least %d", o.MemoryMiB, minMemoryMiB)
	case o.Accelerator != Auto && o.Accelerator != TCG && o.Accelerator != KVM:
		return fmt.Errorf("accelerator %q: it is one of %s, %s, %s", o.Accelerator, Auto, TCG, KVM)
	}
	return nil
}

// Files of Debian's ovmf and ipxe-qemu.
const (
	ovmfCode = "/usr/share/OVMF/OVMF_CODE_4M.fd"
	ovmfVars = "/usr/share/OVMF/OVMF_VARS_4M.fd"
	// ipxeROM holds iPXE for both BIOS and UEFI; it is QEMU's default for virtio-net-pci.
	ipxeROM = "/usr/lib/ipxe/qemu/efi-virtio.rom"
)

// host is what the machine offers to a lab.
type host struct{ qemu string }

// checkHost reports everything that is missing at once, each with its remedy.
func checkHost(o Options) (host, error) {
	var h host
	var errs []error
	if os.Geteuid() != 0 {
		errs = append(errs, errors.New("a lab makes a network namespace, which only root may do: run it as root (sudo)"))
	}
	if _, err := os.Stat("/dev/net/tun"); err != nil {
		errs = append(errs, fmt.Errorf("taps need /dev/net/tun (%w): load the module with `modprobe tun`, or pass the device to the container", err))
	}
	var err error
	if h.qemu, err = exec.LookPath("qemu-system-x86_64"); err != nil {
		errs = append(errs, missing("qemu-system-x86_64", "qemu-system-x86"))
	}
	files := map[string]string{ipxeROM: "ipxe-qemu"}
	if o.UEFI {
		files[ovmfCode], files[ovmfVars] = "ovmf", "ovmf"
	}
	for file, pkg := range files {
		if _, err := os.Stat(file); err != nil {
			errs = append(errs, missing(file, pkg))
		}
	}
	// QEMU takes a comma as the end of an option's value.
	if strings.Contains(o.Directory, ",") {
		errs = append(errs, fmt.Errorf("lab directory %s: QEMU cannot use a path with a comma: choose another", o.Directory))
	}
	return h, errors.Join(errs...)
}

func missing(file, pkg string) error {
	return fmt.Errorf("%s is missing: install the package %s, or run scripts/install-packages.sh", file, pkg)
}
