package disk

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"kadeploy/agent/internal/command"
	"kadeploy/agent/internal/fault"
)

// Format is a file system, or swap space, to make.
type Format struct {
	Target     Target
	Filesystem string   // ext2 ext3 ext4 xfs btrfs vfat swap
	Arguments  []string // further arguments of mkfs
	Label      string
}

// maker is the tool that makes one kind of file system, and how it is told to
// do so without questions, quickly, and with a label.
type maker struct {
	tool  string
	args  []string
	label string // option that takes the label
}

// ext's tables are left to be written by the kernel later: making a big file
// system takes no longer than a small one.
var lazy = []string{"-q", "-F", "-E", "lazy_itable_init=1,lazy_journal_init=1"}

var makers = map[string]maker{
	"ext2":  {"mkfs.ext2", []string{"-q", "-F"}, "-L"},
	"ext3":  {"mkfs.ext3", lazy, "-L"},
	"ext4":  {"mkfs.ext4", lazy, "-L"},
	"xfs":   {"mkfs.xfs", []string{"-q", "-f"}, "-L"},
	"btrfs": {"mkfs.btrfs", []string{"-q", "-f"}, "-L"},
	"vfat":  {"mkfs.vfat", []string{"-F", "32"}, "-n"},
	"swap":  {"mkswap", nil, "-L"},
}

// smallFAT is the size below which FAT32 has too few clusters; mkfs.vfat then chooses.
const smallFAT = 64 * mib

// Format makes a file system and returns its device and signature.
func (h *Host) Format(ctx context.Context, f Format) (Device, Signature, error) {
	dev, sig, err := h.format(ctx, f)
	if err != nil {
		return Device{}, Signature{}, fmt.Errorf("format %s (%s): %w", f.Target, f.Filesystem, err)
	}
	return dev, sig, nil
}

func (h *Host) format(ctx context.Context, f Format) (Device, Signature, error) {
	m, ok := makers[f.Filesystem]
	if !ok {
		return Device{}, Signature{}, fault.Invalidf("unknown file system: use ext2, ext3, ext4, xfs, btrfs, vfat or swap")
	}
	dev, err := h.resolve(f.Target)
	if err != nil {
		return Device{}, Signature{}, err
	}
	if err := h.unused(dev); err != nil {
		return Device{}, Signature{}, err
	}
	args := slices.Clone(m.args)
	if f.Filesystem == "vfat" && dev.Size < smallFAT {
		args = nil
	}
	if f.Label != "" {
		args = append(args, m.label, f.Label)
	}
	args = append(append(args, f.Arguments...), dev.Path)
	// Not every mkfs removes the signatures of others.
	if _, err := command.Output(ctx, "wipefs", "--all", "--quiet", dev.Path); err != nil {
		return Device{}, Signature{}, err
	}
	if _, err := command.Output(ctx, m.tool, args...); err != nil {
		return Device{}, Signature{}, err
	}
	sig, err := Probe(dev.Path)
	if err != nil {
		return Device{}, Signature{}, err
	}
	// Arguments may turn ext4 into ext3, but not into something else.
	if sig.Type == "" || sig.Type[:3] != f.Filesystem[:3] {
		return Device{}, Signature{}, fmt.Errorf("%s reported success, but %s holds %q", m.tool, dev.Path, sig.Type)
	}
	return dev, sig, nil
}

// unused refuses a device that is mounted or otherwise in use; a whole disk,
// if any of its partitions is.
func (h *Host) unused(dev Device) error {
	d := dev.Disk
	if dev.Partition != nil {
		d = Disk{Name: d.Name, Partitions: []Partition{*dev.Partition}}
	}
	use, err := h.Use(d)
	if err != nil {
		return err
	}
	if use != "" {
		return fault.Preconditionf("%s is in use: %s", dev.Path, use)
	}
	return nil
}

// Words splits the arguments that a configuration file has for a tool.
func Words(s string) []string { return strings.Fields(s) }
