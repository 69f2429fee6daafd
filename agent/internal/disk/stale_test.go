package disk

import (
	"context"
	"encoding/binary"
	"hash/crc32"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kadeploy/agent/internal/fault"
)

// lvmLabel is the mark of a physical volume: a sector, the second of its device.
func lvmLabel() []byte {
	b := make([]byte, 512)
	copy(b, "LABELONE")
	binary.LittleEndian.PutUint64(b[8:], 1)
	binary.LittleEndian.PutUint32(b[20:], 32)
	copy(b[24:], "LVM2 001")
	copy(b[32:], "abcdefghijklmnopqrstuvwxyz012345")
	// Their CRC-32 starts at a value of its own, and is not inverted.
	const start = 0xf597a6cf
	binary.LittleEndian.PutUint32(b[16:], ^crc32.Update(^uint32(start), crc32.IEEETable, b[20:]))
	return b
}

// raidLabel is the superblock of a member of an array, version 1.0: it lies at the end of its device.
func raidLabel(sector uint64) []byte {
	b := make([]byte, 4096)
	binary.LittleEndian.PutUint32(b, 0xa92b4efc)
	binary.LittleEndian.PutUint32(b[4:], 1)
	copy(b[16:], "0123456789abcdef")
	copy(b[32:], "stale:0")
	binary.LittleEndian.PutUint32(b[72:], 1)
	binary.LittleEndian.PutUint32(b[92:], 2)
	binary.LittleEndian.PutUint64(b[144:], sector)
	var sum uint64
	for i := 0; i < 256; i += 4 {
		sum += uint64(binary.LittleEndian.Uint32(b[i:]))
	}
	binary.LittleEndian.PutUint32(b[216:], uint32(sum)+uint32(sum>>32))
	return b
}

func put(t *testing.T, device string, at int64, content []byte) {
	t.Helper()
	f, err := os.OpenFile(device, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt(content, at); err != nil {
		t.Fatal(err)
	}
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
}

// marks are what wipefs finds on devices.
func marks(t *testing.T, devices ...string) string {
	t.Helper()
	var found []string
	for _, d := range devices {
		for line := range strings.Lines(output(t, "wipefs", "--noheadings", "--output", "TYPE", d)) {
			found = append(found, strings.TrimSpace(line))
		}
	}
	return strings.Join(found, " ")
}

// A disk that had arrays, volumes and file systems is partitioned: nothing of them
// is left, neither on the disk nor on its old and its new partitions.
func TestStaleMarks(t *testing.T) {
	const size = 4 << 30
	dev := loopDisk(t, size)
	h := &Host{}
	old := []Spec{{Size: 500 * mib}, {Size: 300 * mib}, {Size: 200 * mib}, {Label: "X"}}
	if _, err := h.Partition(t.Context(), Plan{Disk: Target{Disk: dev}, Layout: old}); err != nil {
		t.Fatal(err)
	}
	put(t, dev+"p1", 512, lvmLabel())
	sector := uint64(300*mib/512-16) &^ 7
	put(t, dev+"p2", int64(sector*512), raidLabel(sector))
	output(t, "mkfs.btrfs", "-q", "-f", dev+"p3")
	output(t, "mkfs.xfs", "-q", "-f", "-K", dev+"p4")
	if got := marks(t, dev+"p1", dev+"p2", dev+"p3", dev+"p4"); got != "LVM2_member linux_raid_member btrfs xfs" {
		t.Fatalf("the test itself is wrong: wipefs finds %q", got)
	}
	// An array that had the whole disk, too; its mark is where the copy of the table is not.
	sector = uint64(size/512-16) &^ 7
	put(t, dev, int64(sector*512)-2*mib, make([]byte, 512))

	// The new partitions begin where the old ones did, so that a mark left would show.
	made, err := h.Partition(t.Context(), Plan{Disk: Target{Disk: dev}, Layout: []Spec{{Size: 500 * mib}, {Size: 300 * mib}, {Size: 200 * mib}, {Share: 1000}, {}}})
	if err != nil {
		t.Fatal(err)
	}
	var paths []string
	for _, m := range made {
		paths = append(paths, m.Path)
	}
	if got := marks(t, paths...); got != "" {
		t.Errorf("new partitions have the marks of old ones: %s", got)
	}
	if got := marks(t, dev); got != "gpt gpt PMBR" {
		t.Errorf("the disk has the marks %q", got)
	}
	if share := made[3].Size; share < 408*mib || share > 410*mib {
		t.Errorf("a tenth of 4 GiB has %d bytes", share)
	}
}

// Marks below a table that the kernel never saw: those of a volume over the whole disk, and of an array at its end.
func TestStaleMarksOfTheDisk(t *testing.T) {
	const size = 3 << 30
	dev := loopDisk(t, size)
	put(t, dev, 512, lvmLabel())
	sector := uint64(size/512-16) &^ 7
	put(t, dev, int64(sector*512), raidLabel(sector))
	if got := marks(t, dev); !strings.Contains(got, "LVM2_member") || !strings.Contains(got, "linux_raid_member") {
		t.Fatalf("the test itself is wrong: wipefs finds %q", got)
	}
	if _, err := (&Host{}).Partition(t.Context(), Plan{Disk: Target{Disk: dev}}); err != nil {
		t.Fatal(err)
	}
	if got := marks(t, dev); got != "gpt gpt PMBR" {
		t.Errorf("the disk has the marks %q", got)
	}
}

func TestSeveralDisks(t *testing.T) {
	a, b := loopDisk(t, 3<<30), loopDisk(t, 2<<30)
	h := &Host{}
	plan := func(dev, id string, specs ...Spec) Plan {
		return Plan{Disk: Target{Disk: dev}, DiskID: id, Layout: specs}
	}
	made, err := h.Partition(t.Context(), plan(a, "disk0", Spec{Label: "DEPLOY"}), plan(b, "disk1", Spec{Label: "DATA", Share: 5000}, Spec{Label: "LOG"}))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, m := range made {
		got = append(got, m.Path+" "+m.Label)
	}
	if diff := cmp.Diff([]string{a + "p1 KDPL_DEPLOY_disk0", b + "p1 KDPL_DATA_disk1", b + "p2 KDPL_LOG_disk1"}, got); diff != "" {
		t.Errorf("partitions (-want +got):\n%s", diff)
	}
	before := output(t, "sfdisk", "--dump", a)
	for _, tt := range []struct {
		name  string
		plans []Plan
		kind  fault.Kind
		text  string
	}{
		{"one disk twice", []Plan{plan(a, "disk0", Spec{}), plan(a, "disk1", Spec{})}, fault.Invalid, "a disk has one table"},
		{"the second is too small", []Plan{plan(a, "disk0", Spec{}), plan(b, "disk1", Spec{Size: 3 << 30})}, fault.Precondition, "do not fit"},
		{"the second is another", []Plan{plan(a, "disk0", Spec{}), {Disk: Target{Disk: "disk1", Identity: &Identity{Path: b, Size: 4 << 30}}}}, fault.Precondition,
			b + " has 2147483648 bytes: expected " + b + ", about 4294967296 bytes"},
		{"the second is not there", []Plan{plan(a, "disk0", Spec{}), plan("/dev/nothing", "disk1", Spec{})}, fault.Precondition, "no such device"},
	} {
		_, err := h.Partition(t.Context(), tt.plans...)
		if err == nil || fault.KindOf(err) != tt.kind || !strings.Contains(err.Error(), tt.text) {
			t.Errorf("%s: %v, want kind %d and %q", tt.name, err, tt.kind, tt.text)
		}
	}
	if after := output(t, "sfdisk", "--dump", a); after != before {
		t.Errorf("a refusal has changed the first disk:\n%s\nwas\n%s", after, before)
	}
}

// countdown is a context that ends when it was asked often enough: a failure at each point.
type countdown struct {
	context.Context
	left atomic.Int32
	done chan struct{}
}

func newCountdown(ctx context.Context, n int) *countdown {
	c := &countdown{Context: ctx, done: make(chan struct{})}
	c.left.Store(int32(n))
	return c
}

func (c *countdown) tick() {
	if c.left.Add(-1) == 0 {
		close(c.done)
	}
}

func (c *countdown) Err() error {
	c.tick()
	select {
	case <-c.done:
		return context.Canceled
	default:
		return nil
	}
}
func (c *countdown) Done() <-chan struct{}       { c.tick(); return c.done }
func (c *countdown) Deadline() (time.Time, bool) { return time.Time{}, false }

// Whatever a partitioning that was cut off has left, the next one works.
func TestEveryFailureIsFollowedBySuccess(t *testing.T) {
	dev := loopDisk(t, 2<<30)
	h := &Host{}
	first := Plan{Disk: Target{Disk: dev}, Layout: []Spec{{Label: "A", Size: 300 * mib}, {Label: "B", Share: 3000}, {Label: "C"}}}
	second := Plan{Disk: Target{Disk: dev}, Layout: []Spec{{Label: "D", Size: 100 * mib, Number: 3}, {Label: "E"}}}
	failed := 0
	for n := 1; ; n++ {
		if n > 200 {
			t.Fatal("it never succeeds")
		}
		if _, err := h.Partition(t.Context(), first); err != nil {
			t.Fatalf("after a failure at point %d: %v", n-1, err)
		}
		if _, _, err := h.Format(t.Context(), Format{Target: Target{Disk: dev, Partition: 2}, Filesystem: "ext4"}); err != nil {
			t.Fatalf("after a failure at point %d: %v", n-1, err)
		}
		_, err := h.Partition(newCountdown(t.Context(), n), second)
		if err == nil {
			break
		}
		failed++
	}
	if failed < 5 {
		t.Errorf("it failed at %d points only", failed)
	}
	d, err := h.Resolve(Target{Disk: dev})
	if err != nil {
		t.Fatal(err)
	}
	var numbers []int
	for _, p := range d.Disk.Partitions {
		numbers = append(numbers, p.Number)
	}
	if diff := cmp.Diff([]int{1, 3}, numbers); diff != "" {
		t.Errorf("partitions at the end (-want +got):\n%s", diff)
	}
}
