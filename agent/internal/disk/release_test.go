package disk

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"kadeploy/agent/internal/fault"
)

// mapping makes a device of the device mapper: the beginnings of some devices, one
// after the other, as a volume group does.
func mapping(t *testing.T, name string, devices ...string) {
	t.Helper()
	const sectors, create, suspend, load = 2048, 3, 6, 9
	must := func(what string, err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	must("create the mapping", deviceMapper(create, dmIoctl{}, name))
	t.Cleanup(func() { removeMapping(name) }) // it may be gone: that is what is tested
	f, err := os.OpenFile("/dev/mapper/control", os.O_RDWR, 0)
	must("open", err)
	defer f.Close()
	// struct dm_target_spec is followed by the parameters, and by the next one.
	type spec struct {
		start, length uint64
		status        int32
		next          uint32
		kind          [16]byte
		parameters    [64]byte
	}
	var call struct {
		dmIoctl
		specs [4]spec
	}
	call.version = [3]uint32{4, 0, 0}
	call.dataSize, call.dataStart = uint32(unsafe.Sizeof(call)), uint32(unsafe.Sizeof(call.dmIoctl))
	call.targetCount = uint32(len(devices))
	copy(call.name[:], name)
	for i, d := range devices {
		s := &call.specs[i]
		s.start, s.length, s.next = uint64(i)*sectors, sectors, uint32(unsafe.Sizeof(*s))
		copy(s.kind[:], "linear")
		copy(s.parameters[:], d+" 0")
	}
	number := 3<<30 | unsafe.Sizeof(call.dmIoctl)<<16 | 0xfd<<8 | uintptr(load)
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), number, uintptr(unsafe.Pointer(&call))); errno != 0 {
		t.Fatalf("load the mapping: %v", errno)
	}
	must("resume the mapping", deviceMapper(suspend, dmIoctl{}, name))
}

func TestVolumesThatNothingUsesAreStopped(t *testing.T) {
	if f, err := os.Open("/dev/mapper/control"); err != nil {
		t.Skipf("this kernel has no device mapper: %v", err)
	} else {
		f.Close()
	}
	a, b := loopDisk(t, 2<<30), loopDisk(t, 2<<30)
	h := &Host{}
	layout := []Spec{{Label: "ONE", Size: 100 * mib}, {Label: "TWO"}}
	for _, dev := range []string{a, b} {
		if _, err := h.Partition(t.Context(), Plan{Disk: Target{Disk: dev}, Layout: layout}); err != nil {
			t.Fatal(err)
		}
	}
	name := fmt.Sprintf("kadeploy-test-%d", os.Getpid())
	mapping(t, name, a+"p1", b+"p2")
	_, err := h.Partition(t.Context(), Plan{Disk: Target{Disk: a}, Layout: layout})
	if fault.KindOf(err) != fault.Precondition || err == nil || !strings.Contains(err.Error(), strings.TrimPrefix(b, "/dev/")+"p2 is part too") {
		t.Errorf("a volume with a part on another disk: %v, want a refusal", err)
	}
	_, _, err = h.Format(t.Context(), Format{Target: Target{Disk: a, Partition: 1}, Filesystem: "ext4"})
	if fault.KindOf(err) != fault.Precondition {
		t.Errorf("Format below that volume: %v, want a refusal", err)
	}
	if _, err := h.Partition(t.Context(), Plan{Disk: Target{Disk: a}, Layout: layout}, Plan{Disk: Target{Disk: b}, DiskID: "disk1", Layout: layout}); err != nil {
		t.Errorf("both disks of a volume that nothing uses: %v", err)
	}
	mapping(t, name, a+"p2")
	if _, _, err := h.Format(t.Context(), Format{Target: Target{Disk: a, Partition: 2}, Filesystem: "ext4"}); err != nil {
		t.Errorf("Format below a volume that nothing uses: %v", err)
	}
}

// stacked is a sysfs in which devices are made of others.
func stacked(t *testing.T, slaves map[string][]string, partitions map[string]string) *Host {
	t.Helper()
	h := &Host{Sys: t.TempDir(), Dev: t.TempDir()}
	dir := func(elem ...string) {
		if err := os.MkdirAll(h.sys(elem...), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for part, disk := range partitions {
		dir("class/block", part)
		dir("class/block", disk, part, "partition")
	}
	for device, below := range slaves {
		for _, s := range below {
			dir("class/block", device, "slaves", s)
			dir("class/block", s, "holders", device)
		}
	}
	return h
}

func TestWhatDevicesArePartOf(t *testing.T) {
	disk := Disk{Name: "sda", Path: "/dev/sda", Partitions: []Partition{{Name: "sda1"}, {Name: "sda2"}}}
	for _, tt := range []struct {
		name       string
		slaves     map[string][]string
		partitions map[string]string
		above      string
		refusal    string
	}{
		{"nothing", nil, nil, "", ""},
		{"volumes on an array", map[string][]string{"md0": {"sda1", "sda2"}, "dm-0": {"md0"}, "dm-1": {"md0", "dm-0"}}, nil, "md0 dm-0 dm-1", "stop dm-1"},
		{"an array's partition", map[string][]string{"md0": {"sda1"}, "dm-0": {"md0p1"}}, map[string]string{"md0p1": "md0"}, "md0 dm-0", "stop dm-0"},
		{"another disk's part", map[string][]string{"md0": {"sda1", "sdb1"}}, nil, "md0", "part of md0, of which sdb1 is part too"},
		{"something strange", map[string][]string{"bcache0": {"sda1"}}, nil, "bcache0", "bcache0, which is neither an array nor a volume"},
	} {
		h := stacked(t, tt.slaves, tt.partitions)
		above, err := h.above([]string{"sda", "sda1", "sda2"})
		if got := strings.Join(above, " "); err != nil || got != tt.above {
			t.Errorf("%s: above are %q, %v, want %q", tt.name, got, err, tt.above)
		}
		// These devices are on paper only: that stopping them is tried and fails is all that can be seen.
		err = h.release([]Disk{disk})
		if tt.refusal == "" && err != nil || tt.refusal != "" && (err == nil || !strings.Contains(err.Error(), tt.refusal)) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.refusal)
		}
	}
}

func TestEMMC(t *testing.T) {
	for name, area := range map[string]bool{"mmcblk0": false, "mmcblk0boot0": true, "mmcblk0boot1": true, "mmcblk0rpmb": true, "mmcblk1gp0": true, "mmcblk12": false} {
		if isGhost(name) != area {
			t.Errorf("isGhost(%s) = %v", name, !area)
		}
	}
	for disk, want := range map[string]string{"mmcblk0": "mmcblk0p1", "nvme0n1": "nvme0n1p1", "sda": "sda1", "vdb": "vdb1", "sdaa": "sdaa1"} {
		if got := partitionName(disk, 1); got != want {
			t.Errorf("partition 1 of %s is %s, want %s", disk, got, want)
		}
	}
}

func TestMatches(t *testing.T) {
	for _, tt := range []struct {
		pattern, text string
		want          bool
	}{
		{"S3Z8*", "s3z8nb0k ", true}, {"S3Z8", "S3Z8N", false}, {"*NB*", "S3Z8NB0K", true}, {"a*b*c", "axxbyyc", true},
		{"a*b*c", "acb", false}, {"*", "", true}, {"a*a", "a", false}, {"naa.5000*", "naa.50014ee2b5e7", false}, {"**x", "yx", true},
	} {
		if got := matches(tt.pattern, tt.text); got != tt.want {
			t.Errorf("matches(%q, %q) = %v", tt.pattern, tt.text, got)
		}
	}
}

func TestMkfsArguments(t *testing.T) {
	dev := Device{Path: "/dev/x", Size: 1 << 30}
	for _, tt := range []struct {
		fs      string
		further string
		discard bool
		want    string
	}{
		{"ext4", "", true, "-q -F -E lazy_itable_init=1,lazy_journal_init=1 /dev/x"},
		{"ext4", "-E stride=4 -m 0 -E root_owner=1:1", false, "-q -F -E lazy_itable_init=1,lazy_journal_init=1,nodiscard,stride=4,root_owner=1:1 -m 0 /dev/x"},
		{"xfs", "-K", false, "-q -f -K /dev/x"}, {"xfs", "", false, "-q -f -K /dev/x"}, {"btrfs", "", true, "-q -f /dev/x"},
		{"vfat", "", false, "-F 32 /dev/x"}, {"swap", "", false, "/dev/x"},
	} {
		got := strings.Join(makers[tt.fs].arguments(Format{Filesystem: tt.fs, Arguments: Words(tt.further)}, dev, tt.discard), " ")
		if got != tt.want {
			t.Errorf("arguments of %s %q: %q, want %q", tt.fs, tt.further, got, tt.want)
		}
	}
}
