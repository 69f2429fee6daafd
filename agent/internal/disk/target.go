package disk

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"kadeploy/agent/internal/fault"
)

// Target names a disk or one of its partitions.
type Target struct {
	Disk      string    // device path (or a link to it), or a disk id: disk0
	Partition int       // number, from 1; 0: none
	Label     string    // role of a labelled partition; empty: none
	Identity  *Identity // what the site knows of the disk; nil: nothing
}

func (t Target) String() string {
	switch {
	case t.Label != "":
		return t.Disk + "/" + t.Label
	case t.Partition != 0:
		return fmt.Sprintf("%s/%d", t.Disk, t.Partition)
	}
	return t.Disk
}

// Device is what a Target turned out to be.
type Device struct {
	Path      string // /dev/vda3, without links
	Size      uint64 // bytes
	Disk      Disk   // the disk that it is, or is on
	Partition *Partition
}

// Resolve finds the device that a target means.
func (h *Host) Resolve(t Target) (Device, error) {
	d, err := h.resolve(t)
	if err != nil {
		return Device{}, fmt.Errorf("find %s: %w", t, err)
	}
	return d, nil
}

func (h *Host) resolve(t Target) (Device, error) {
	if t.Disk == "" {
		return Device{}, fault.Invalidf("no disk is named")
	}
	if t.Label != "" && t.Partition != 0 {
		return Device{}, fault.Invalidf("both a number and a label")
	}
	if t.Label != "" {
		return h.byLabel(t)
	}
	d, err := h.named(t)
	if err != nil || t.Partition == 0 {
		return d, err
	}
	if d.Partition != nil {
		return Device{}, fault.Invalidf("%s is a partition already", d.Path)
	}
	for i, p := range d.Disk.Partitions {
		if p.Number == t.Partition {
			return Device{p.Path, p.Size, d.Disk, &d.Disk.Partitions[i]}, nil
		}
	}
	return Device{}, fault.Preconditionf("%s has no partition %d: create the partition table first", d.Disk.Path, t.Partition)
}

// named finds the disk of a target, or the partition that its path is of.
func (h *Host) named(t Target) (Device, error) {
	if t.Identity == nil {
		return h.byName(t.Disk)
	}
	d, err := h.identify(*t.Identity)
	return Device{d.Path, d.Size, d, nil}, err
}

// diskID reports whether name is a disk id, and its number.
func diskID(name string) (int, bool) {
	s, ok := strings.CutPrefix(name, "disk")
	if !ok || s == "" || digits(s) != len(s) || len(s) > 3 {
		return 0, false
	}
	n, err := strconv.Atoi(s)
	return n, err == nil
}

// byName finds a device by a disk id or a path.
func (h *Host) byName(name string) (Device, error) {
	if n, ok := diskID(name); ok {
		disks, err := h.Disks()
		if err != nil {
			return Device{}, err
		}
		if n >= len(disks) {
			return Device{}, fault.Preconditionf("the node has %d disks: %s", len(disks), describe(disks))
		}
		return Device{disks[n].Path, disks[n].Size, disks[n], nil}, nil
	}
	if !filepath.IsAbs(name) {
		return Device{}, fault.Invalidf("neither the path of a device nor a disk id like disk0")
	}
	path, err := filepath.EvalSymlinks(name)
	if errors.Is(err, os.ErrNotExist) {
		disks, _ := h.Disks() // only to help the reader
		return Device{}, fault.Preconditionf("no such device; the node's disks are %s", describe(disks))
	}
	if err != nil {
		return Device{}, err
	}
	return h.byNode(path)
}

// byNode finds a device by the path of its node, which is no link.
func (h *Host) byNode(path string) (Device, error) {
	name := filepath.Base(path)
	if _, err := os.Stat(h.sys("block", name)); err == nil {
		d, err := h.disk(name)
		return Device{d.Path, d.Size, d, nil}, err
	}
	bus, err := filepath.EvalSymlinks(h.sys("class/block", name))
	if err != nil {
		return Device{}, fault.Invalidf("%s is not a block device", path)
	}
	d, err := h.disk(filepath.Base(filepath.Dir(bus)))
	if err != nil {
		return Device{}, err
	}
	for i, p := range d.Partitions {
		if p.Name == name {
			return Device{p.Path, p.Size, d, &d.Partitions[i]}, nil
		}
	}
	return Device{}, fault.Invalidf("%s is neither a disk nor a partition", path)
}

// byLabel finds a partition by its role. With a disk id alone the label is known in
// full, whichever disk the site gave that id to; else the disk is known.
func (h *Host) byLabel(t Target) (Device, error) {
	if _, ok := diskID(t.Disk); !ok || t.Identity != nil {
		d, err := h.named(t)
		if err != nil {
			return Device{}, err
		}
		for i, p := range d.Disk.Partitions {
			if strings.HasPrefix(p.Label, PartLabel(t.Label, "")) {
				return Device{p.Path, p.Size, d.Disk, &d.Disk.Partitions[i]}, nil
			}
		}
		return Device{}, fault.Preconditionf("no partition of %s is labelled %s*: create the partition table first", d.Path, PartLabel(t.Label, ""))
	}
	disks, err := h.Disks()
	if err != nil {
		return Device{}, err
	}
	label := PartLabel(t.Label, t.Disk)
	var found []Device
	for _, d := range disks {
		for i, p := range d.Partitions {
			if p.Label == label {
				found = append(found, Device{p.Path, p.Size, d, &d.Partitions[i]})
			}
		}
	}
	switch len(found) {
	case 0:
		return Device{}, fault.Preconditionf("no partition is labelled %s: create the partition table first", label)
	case 1:
		return found[0], nil
	}
	return Device{}, fault.Preconditionf("%s and %s are both labelled %s: name the disk by its path", found[0].Path, found[1].Path, label)
}

func describe(disks []Disk) string {
	if len(disks) == 0 {
		return "none"
	}
	var names []string
	for _, d := range disks {
		name := fmt.Sprintf("%s (%d bytes", d.Path, d.Size)
		if d.Serial != "" {
			name += fmt.Sprintf(", serial number %q", d.Serial)
		}
		if d.WWN != "" {
			name += fmt.Sprintf(", WWN %q", d.WWN)
		}
		names = append(names, name+")")
	}
	return strings.Join(names, ", ")
}
