package disk

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

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

// Partition replaces the partition tables of disks, and returns when the nodes
// of all partitions, and udev's links to them, are there. All disks are examined
// before the first one is changed. After a failure the same call can be made again,
// whatever it has left.
func (h *Host) Partition(ctx context.Context, plans ...Plan) ([]Made, error) {
	var works []work
	for _, plan := range plans {
		w, err := h.prepare(plan)
		if err != nil {
			return nil, fmt.Errorf("partition %s: %w", plan.Disk, err)
		}
		for _, other := range works {
			if other.disk.Name == w.disk.Name {
				return nil, fault.Invalidf("partition %s: it is %s, and so is %s: a disk has one table", plan.Disk, w.disk.Path, other.plan.Disk)
			}
		}
		works = append(works, w)
	}
	if err := h.claim(works); err != nil {
		return nil, err
	}
	var all []Made
	for _, w := range works {
		if err := h.apply(ctx, w); err != nil {
			return nil, fmt.Errorf("partition %s: %w", w.plan.Disk, err)
		}
		all = append(all, w.made...)
	}
	return all, nil
}

// work is a plan that was found to be possible.
type work struct {
	plan Plan
	disk Disk
	made []Made
}

func (h *Host) prepare(plan Plan) (work, error) {
	dev, err := h.resolve(plan.Disk)
	if err != nil {
		return work{}, err
	}
	if dev.Partition != nil {
		return work{}, fault.Invalidf("%s is a partition: a table is made on a whole disk", dev.Path)
	}
	if err := h.check(dev.Disk, plan); err != nil {
		return work{}, err
	}
	specs := plan.Layout
	if len(specs) == 0 {
		if specs, err = Builtin(dev.Size); err != nil {
			return work{}, err
		}
	}
	id := cmp.Or(plan.DiskID, "disk0")
	if !isRole(id) {
		return work{}, fault.Invalidf("disk id %q: use letters, digits, - and _", id)
	}
	parts, err := Lay(specs, dev.Size)
	if err != nil {
		return work{}, err
	}
	return work{plan, dev.Disk, h.name(dev.Disk, parts, id)}, nil
}

// claim frees the disks of what nothing uses, and makes sure that they are free then.
func (h *Host) claim(works []work) error {
	var disks []Disk
	var names []string
	for _, w := range works {
		disks = append(disks, w.disk)
		names = append(names, w.disk.Path)
	}
	if err := h.release(disks); err != nil {
		return fmt.Errorf("partition %s: %w", strings.Join(names, ", "), err)
	}
	for _, d := range disks {
		if err := exclusive(d.Path); err != nil {
			return fmt.Errorf("partition %s: %w", d.Path, err)
		}
	}
	return nil
}

// exclusive refuses a device that the kernel, or a program in another mount namespace, holds.
func exclusive(path string) error {
	deadline := time.Now().Add(busyLimit) // udev looks at devices for a moment
	for {
		f, err := os.OpenFile(path, os.O_RDONLY|unix.O_EXCL, 0)
		if err == nil {
			return f.Close()
		}
		if !errors.Is(err, unix.EBUSY) || time.Now().After(deadline) {
			return fault.Preconditionf("%s is in use: %w", path, err)
		}
		time.Sleep(settlePoll)
	}
}

// apply makes the table. What is wiped, on the old partitions and on the new ones,
// could otherwise be taken for a file system, an array or a volume at a later boot.
func (h *Host) apply(ctx context.Context, w work) error {
	for _, step := range []func() error{
		func() error { return h.wipe(ctx, append(nodes(w.disk), w.disk.Path)) },
		func() error { return h.retract(ctx, w.disk) },
		func() error { return h.write(ctx, w.disk, w.made) },
		func() error { return h.announce(w.disk, w.made) },
		func() error { return h.settle(ctx, w.disk, w.made) },
		func() error { return h.wipeNew(ctx, w) },
		func() error { return h.settle(ctx, w.disk, w.made) },
	} {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// wipeNew wipes the new partitions: where they begin and end, a file system or an
// array of an older table may have had its mark.
func (h *Host) wipeNew(ctx context.Context, w work) error {
	var paths []string
	for _, p := range w.made {
		paths = append(paths, p.Path)
	}
	return h.wipe(ctx, paths)
}

// check refuses a disk that is not the one that was meant, or that is in use.
func (h *Host) check(d Disk, plan Plan) error {
	if plan.ExpectSize != 0 && d.Size != plan.ExpectSize {
		return fault.Preconditionf("%s has %d bytes where %d are expected: is this the right disk?", d.Path, d.Size, plan.ExpectSize)
	}
	if plan.ExpectSerial != "" && d.Serial != plan.ExpectSerial {
		return fault.Preconditionf("%s has the serial number %q where %q is expected: is this the right disk?", d.Path, d.Serial, plan.ExpectSerial)
	}
	return h.unused(d)
}

// unused refuses a disk that holds something mounted, or swap space in use.
func (h *Host) unused(d Disk) error {
	use, err := h.Use(d)
	if err != nil {
		return err
	}
	if use != "" {
		return fault.Preconditionf("%s is in use: %s", d.Path, use)
	}
	return nil
}

// Use says what the disk itself is used for just now; empty if for nothing. Arrays
// and volumes that are made of it are not looked at.
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
	}
	return "", nil
}

// Mounted returns a mount point that is on the disk; empty if there is none.
func (h *Host) Mounted(d Disk) (string, error) {
	mounts, err := mountinfo.Read()
	if err != nil {
		return "", err
	}
	numbers := map[string]bool{h.read("class/block", d.Name, "dev"): true}
	paths := map[string]bool{d.Path: true} // btrfs mounts have numbers of their own
	for _, p := range d.Partitions {
		numbers[h.read("class/block", p.Name, "dev")] = true
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

// nodes are those of a disk's partitions.
func nodes(d Disk) []string {
	var paths []string
	for _, p := range d.Partitions {
		paths = append(paths, p.Path)
	}
	return paths
}

// wipe removes the signatures of file systems, RAID and LVM members, at the
// beginnings and the ends of devices.
func (h *Host) wipe(ctx context.Context, devices []string) error {
	_, err := command.Output(ctx, "wipefs", append([]string{"--all", "--force", "--quiet"}, devices...)...)
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
