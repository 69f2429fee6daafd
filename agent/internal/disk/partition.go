package disk

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"kadeploy/agent/internal/command"
	"kadeploy/agent/internal/fault"
	"kadeploy/agent/internal/mountinfo"
)

// Plan says which disk gets which partitions.
type Plan struct {
	Disk         Target
	DiskID       string // suffix of the labels; "disk0" if empty
	Layout       []Spec // empty: the built-in scheme
	ExpectSize   uint64 // refuse a disk of another size; 0: not checked
	ExpectSerial string // refuse a disk of another serial number; empty: not checked
}

// Made is a partition that was created.
type Made struct {
	Part
	Label string // as on disk
	Path  string // /dev/vda3
	UUID  string // of the partition, lower case
}

// Partition replaces the partition table of a disk, and returns when the nodes
// of all partitions, and udev's links to them, are there.
func (h *Host) Partition(ctx context.Context, plan Plan) ([]Made, error) {
	made, err := h.partition(ctx, plan)
	if err != nil {
		return nil, fmt.Errorf("partition %s: %w", plan.Disk, err)
	}
	return made, nil
}

func (h *Host) partition(ctx context.Context, plan Plan) ([]Made, error) {
	dev, err := h.resolve(plan.Disk)
	if err != nil {
		return nil, err
	}
	if dev.Partition != nil {
		return nil, fault.Invalidf("%s is a partition: a table is made on a whole disk", dev.Path)
	}
	if err := h.check(dev.Disk, plan); err != nil {
		return nil, err
	}
	specs := plan.Layout
	if len(specs) == 0 {
		if specs, err = Builtin(dev.Size); err != nil {
			return nil, err
		}
	}
	id := cmp.Or(plan.DiskID, "disk0")
	if !isRole(id) {
		return nil, fault.Invalidf("disk id %q: use letters, digits, - and _", id)
	}
	parts, err := Lay(specs, dev.Size)
	if err != nil {
		return nil, err
	}
	made := h.name(dev.Disk, parts, id)
	for _, step := range []func() error{
		func() error { return h.wipe(ctx, dev.Disk) },
		func() error { return h.retract(dev.Disk) },
		func() error { return h.write(ctx, dev.Disk, made) },
		func() error { return h.announce(dev.Disk, made) },
	} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	return made, h.settle(ctx, dev.Disk, made)
}

// check refuses a disk that is not the one that was meant, or that is in use.
func (h *Host) check(d Disk, plan Plan) error {
	if plan.ExpectSize != 0 && d.Size != plan.ExpectSize {
		return fault.Preconditionf("%s has %d bytes where %d are expected: is this the right disk?", d.Path, d.Size, plan.ExpectSize)
	}
	if plan.ExpectSerial != "" && d.Serial != plan.ExpectSerial {
		return fault.Preconditionf("%s has the serial number %q where %q is expected: is this the right disk?", d.Path, d.Serial, plan.ExpectSerial)
	}
	use, err := h.Use(d)
	if err != nil {
		return err
	}
	if use != "" {
		return fault.Preconditionf("%s is in use: %s", d.Path, use)
	}
	return nil
}

// Use says what the disk is used for just now; empty if for nothing.
func (h *Host) Use(d Disk) (string, error) {
	point, err := h.Mounted(d)
	if err != nil {
		return "", err
	}
	if point != "" {
		return "mounted on " + point, nil
	}
	swaps, err := os.ReadFile("/proc/swaps")
	if err != nil {
		return "", fmt.Errorf("read swap areas: %w", err)
	}
	for _, p := range append([]Partition{{Name: d.Name, Path: d.Path}}, d.Partitions...) {
		if strings.Contains("\n"+string(swaps), "\n"+p.Path+" ") {
			return p.Path + " is swap space", nil
		}
		dir := []string{d.Name, p.Name, "holders"}
		if p.Name == d.Name {
			dir = []string{d.Name, "holders"}
		}
		holders, err := os.ReadDir(h.sys(append([]string{"block"}, dir...)...))
		if err == nil && len(holders) > 0 {
			return fmt.Sprintf("%s is part of %s", p.Path, holders[0].Name()), nil
		}
	}
	return "", nil
}

// Mounted returns a mount point that is on the disk; empty if there is none.
func (h *Host) Mounted(d Disk) (string, error) {
	mounts, err := mountinfo.Read()
	if err != nil {
		return "", err
	}
	numbers := map[string]bool{h.text(d.Name, "dev"): true}
	paths := map[string]bool{d.Path: true} // btrfs mounts have numbers of their own
	for _, p := range d.Partitions {
		numbers[h.text(d.Name, p.Name, "dev")] = true
		paths[p.Path] = true
	}
	for _, m := range mounts {
		if numbers[m.Device] || paths[m.Source] {
			return m.Point, nil
		}
	}
	return "", nil
}

// name gives the parts their names on disk, their nodes and their identities.
func (h *Host) name(d Disk, parts []Part, diskID string) []Made {
	var made []Made
	for _, p := range parts {
		made = append(made, Made{
			Part:  p,
			Label: PartLabel(p.Label, diskID),
			Path:  h.dev(partitionName(d.Name, p.Number)),
			UUID:  newUUID(),
		})
	}
	return made
}

// partitionName is the kernel's: sda3, but nvme0n1p3 and mmcblk0p3.
func partitionName(disk string, number int) string {
	sep := ""
	if last := disk[len(disk)-1]; last >= '0' && last <= '9' {
		sep = "p"
	}
	return fmt.Sprintf("%s%s%d", disk, sep, number)
}

// newUUID makes a random one (RFC 9562, version 4).
func newUUID() string {
	var b [16]byte
	rand.Read(b[:])
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[0:4], b[4:6], b[6:8], b[8:10], b[10:16])
}

// wipe removes the signatures of old file systems, RAID and LVM members from
// the disk and its partitions: a stale one would confuse a later boot.
func (h *Host) wipe(ctx context.Context, d Disk) error {
	var nodes []string
	for _, p := range d.Partitions {
		nodes = append(nodes, p.Path)
	}
	_, err := command.Output(ctx, "wipefs", append([]string{"--all", "--quiet"}, append(nodes, d.Path)...)...)
	return err
}

// write has sfdisk write the table.
func (h *Host) write(ctx context.Context, d Disk, parts []Made) error {
	sector := max(h.number(d.Name, "queue/logical_block_size"), 512)
	tool, err := command.Tool("sfdisk")
	if err != nil {
		return err
	}
	return command.Run(ctx, command.Cmd{
		Path:  tool,
		Args:  []string{"--quiet", "--wipe", "always", "--wipe-partitions", "always", "--lock=yes", d.Path},
		Stdin: strings.NewReader(script(parts, sector)),
	})
}

// script is sfdisk's input (sfdisk(8), "Input formats").
func script(parts []Made, sector uint64) string {
	var b strings.Builder
	fmt.Fprintf(&b, "label: gpt\nunit: sectors\nsector-size: %d\n\n", sector)
	for _, p := range parts {
		fmt.Fprintf(&b, "%s : start=%d, size=%d, type=%s, uuid=%s", p.Path, p.Start/sector, p.Size/sector, p.Type, p.UUID)
		if p.Label != "" {
			fmt.Fprintf(&b, ", name=%q", p.Label)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// labelLink is the link that udev makes for a partition's name.
func (h *Host) labelLink(label string) string {
	return filepath.Join(h.dev("disk", "by-partlabel"), label)
}
