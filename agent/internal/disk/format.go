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
	keep  string // option that leaves the device's content undiscarded; ext: a word of -E
}

var makers = map[string]maker{
	"ext2":  {"mkfs.ext2", []string{"-q", "-F"}, "-L", "nodiscard"},
	"ext3":  {"mkfs.ext3", []string{"-q", "-F"}, "-L", "nodiscard"},
	"ext4":  {"mkfs.ext4", []string{"-q", "-F"}, "-L", "nodiscard"},
	"xfs":   {"mkfs.xfs", []string{"-q", "-f"}, "-L", "-K"},
	"btrfs": {"mkfs.btrfs", []string{"-q", "-f"}, "-L", "-K"},
	"vfat":  {"mkfs.vfat", []string{"-F", "32"}, "-n", ""},
	"swap":  {"mkswap", nil, "-L", ""},
}

// arguments are those of the tool, for a device. Ext's tables are left to be
// written by the kernel, once the file system is mounted: making a big one takes no
// longer than making a small one. Discarding tells an SSD that nothing of it is
// needed, which makes it faster; other devices gain nothing from it.
func (m maker) arguments(f Format, dev Device, discard bool) []string {
	args, further := slices.Clone(m.args), slices.Clone(f.Arguments)
	if f.Filesystem == "vfat" && dev.Size < smallFAT {
		args = nil
	}
	switch {
	case strings.HasPrefix(f.Filesystem, "ext"):
		// Of several -E the tool knows the last one only.
		extended := []string{"lazy_itable_init=1", "lazy_journal_init=1"}
		if !discard {
			extended = append(extended, m.keep)
		}
		for i := slices.Index(further, "-E"); i >= 0 && i+1 < len(further); i = slices.Index(further, "-E") {
			extended = append(extended, further[i+1])
			further = slices.Delete(further, i, i+2)
		}
		args = append(args, "-E", strings.Join(extended, ","))
	case m.keep != "" && !discard && !slices.Contains(further, m.keep):
		args = append(args, m.keep)
	}
	if f.Label != "" {
		args = append(args, m.label, f.Label)
	}
	return append(append(args, further...), dev.Path)
}

// discards tells whether a disk is a fast one that can be told what is not needed.
func (h *Host) discards(d Disk) bool {
	return !d.Rotational && h.number(d.Name, "queue/discard_max_bytes") > 0
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
	if err := h.vacate(dev); err != nil {
		return Device{}, Signature{}, err
	}
	// Not every mkfs removes the signatures of others.
	if err := h.wipe(ctx, []string{dev.Path}); err != nil {
		return Device{}, Signature{}, err
	}
	if _, err := command.Output(ctx, m.tool, m.arguments(f, dev, h.discards(dev.Disk))...); err != nil {
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

// Vacate finds a device that is to be overwritten, and frees it of arrays and
// volumes that nothing uses. It refuses one that is in use.
func (h *Host) Vacate(t Target) (Device, error) {
	dev, err := h.resolve(t)
	if err == nil {
		err = h.vacate(dev)
	}
	if err != nil {
		return Device{}, fmt.Errorf("find %s: %w", t, err)
	}
	return dev, nil
}

// vacate is about a partition alone; about a whole disk with all of its partitions.
func (h *Host) vacate(dev Device) error {
	d := dev.Disk
	if dev.Partition != nil {
		d = Disk{Name: dev.Partition.Name, Path: dev.Path}
	}
	if err := h.unused(d); err != nil {
		return err
	}
	if err := h.release([]Disk{d}); err != nil {
		return fmt.Errorf("%s: %w", dev.Path, err)
	}
	return exclusive(dev.Path)
}

// Words splits the arguments that a configuration file has for a tool.
func Words(s string) []string { return strings.Fields(s) }
