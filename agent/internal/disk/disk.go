// Package disk finds the disks of the node, partitions them, and makes file
// systems. What it is told to destroy must be the disk that was meant: of the
// size and serial number that the caller expects, with nothing on it in use.
// It never mounts, and it never decides what a partition is for.
package disk

import (
	"cmp"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Host is the machine whose disks these are.
type Host struct {
	Log *slog.Logger
	// Sys and Dev are where sysfs and the device nodes are; empty: /sys and /dev.
	Sys, Dev string
}

func (h *Host) sys(elem ...string) string {
	root := h.Sys
	if root == "" {
		root = "/sys"
	}
	return filepath.Join(append([]string{root}, elem...)...)
}

func (h *Host) dev(elem ...string) string {
	root := h.Dev
	if root == "" {
		root = "/dev"
	}
	return filepath.Join(append([]string{root}, elem...)...)
}

// Disk is a whole disk, as sysfs describes it.
type Disk struct {
	Name       string // vda
	Path       string // /dev/vda
	Bus        string // path of the device in sysfs: the disk's place in the machine
	Size       uint64 // bytes
	Model      string
	Serial     string
	WWN        string
	Rotational bool
	Partitions []Partition
}

// Partition is one of a disk's partitions, as the kernel knows it.
type Partition struct {
	Name        string // vda3
	Path        string // /dev/vda3
	Number      int
	Label       string // GPT name
	Start, Size uint64 // bytes
}

// ghosts are the names of block devices that are no disks.
var ghosts = [...]string{"loop", "ram", "zram", "dm-", "md", "sr", "fd", "nbd", "mtdblock"}

// Disks lists the disks that can be deployed on: whole, not removable, with a
// medium. Their order, which is that of the ids disk0, disk1, ..., is the natural
// order of their places in the machine: it does not depend on which driver was faster.
func (h *Host) Disks() ([]Disk, error) {
	entries, err := os.ReadDir(h.sys("block"))
	if err != nil {
		return nil, fmt.Errorf("list disks: %w", err)
	}
	var disks []Disk
	for _, e := range entries {
		if isGhost(e.Name()) || h.text(e.Name(), "removable") == "1" || h.text(e.Name(), "hidden") == "1" {
			continue
		}
		d, err := h.disk(e.Name())
		if err != nil {
			return nil, fmt.Errorf("list disks: %w", err)
		}
		if d.Size > 0 {
			disks = append(disks, d)
		}
	}
	slices.SortFunc(disks, func(a, b Disk) int { return compareBus(a.Bus, b.Bus) })
	return disks, nil
}

func isGhost(name string) bool {
	for _, g := range ghosts {
		if strings.HasPrefix(name, g) {
			return true
		}
	}
	return emmcArea.MatchString(name)
}

// emmcArea are the small areas beside the user's of an eMMC: boot loaders, secrets.
var emmcArea = regexp.MustCompile(`^mmcblk[0-9]+(boot[0-9]+|gp[0-9]+|rpmb)$`)

// disk reads the description of /sys/block/NAME.
func (h *Host) disk(name string) (Disk, error) {
	bus, err := filepath.EvalSymlinks(h.sys("block", name))
	if err != nil {
		return Disk{}, fmt.Errorf("examine disk %s: %w", name, err)
	}
	d := Disk{
		Name:       name,
		Path:       h.dev(name),
		Bus:        bus,
		Size:       h.number(name, "size") * 512,
		Model:      h.text(name, "device/model"),
		Serial:     h.serial(name),
		WWN:        h.first(name, "wwid", "device/wwid"),
		Rotational: h.text(name, "queue/rotational") == "1",
	}
	entries, err := os.ReadDir(bus)
	if err != nil {
		return Disk{}, fmt.Errorf("examine disk %s: %w", name, err)
	}
	for _, e := range entries {
		n := h.number(name, e.Name(), "partition")
		if n == 0 {
			continue
		}
		d.Partitions = append(d.Partitions, Partition{
			Name:   e.Name(),
			Path:   h.dev(e.Name()),
			Number: int(n),
			Label:  h.uevent(name, e.Name())["PARTNAME"],
			Start:  h.number(name, e.Name(), "start") * 512,
			Size:   h.number(name, e.Name(), "size") * 512,
		})
	}
	slices.SortFunc(d.Partitions, func(a, b Partition) int { return cmp.Compare(a.Number, b.Number) })
	return d, nil
}

// maxAttribute is more than any attribute of sysfs that is read here.
const maxAttribute = 4 << 10

// text reads one attribute below /sys/block; an attribute that is not there is empty.
func (h *Host) text(elem ...string) string { return h.read(append([]string{"block"}, elem...)...) }

// read reads one attribute below /sys; an attribute that is not there is empty.
func (h *Host) read(elem ...string) string {
	f, err := os.Open(h.sys(elem...))
	if err != nil {
		return ""
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxAttribute))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

func (h *Host) number(elem ...string) uint64 {
	n, err := strconv.ParseUint(h.text(elem...), 10, 64)
	if err != nil {
		return 0
	}
	return n
}

func (h *Host) first(name string, attributes ...string) string {
	for _, a := range attributes {
		if s := h.text(name, a); s != "" {
			return s
		}
	}
	return ""
}

// serial reads the number that NVMe and virtio disks show directly, and SCSI
// ones in page 0x80 of their vital product data, after a header of four bytes.
func (h *Host) serial(name string) string {
	if s := h.first(name, "serial", "device/serial"); s != "" {
		return s
	}
	b, err := os.ReadFile(h.sys("block", name, "device/vpd_pg80"))
	if err != nil || len(b) < 4 {
		return ""
	}
	return strings.TrimSpace(string(b[4:]))
}

func (h *Host) uevent(elem ...string) map[string]string {
	values := map[string]string{}
	for line := range strings.Lines(h.text(append(elem, "uevent")...)) {
		if key, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok {
			values[key] = value
		}
	}
	return values
}

// Links returns the links below /dev/disk/by-path and by-id that lead to a device.
func (h *Host) Links(device string) []string {
	var links []string
	for _, kind := range []string{"by-path", "by-id"} {
		entries, err := os.ReadDir(h.dev("disk", kind))
		if err != nil {
			continue // no udev, or none of this kind
		}
		for _, e := range entries {
			link := h.dev("disk", kind, e.Name())
			if target, err := filepath.EvalSymlinks(link); err == nil && target == device {
				links = append(links, link)
			}
		}
	}
	return links
}
