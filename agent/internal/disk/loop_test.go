package disk

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kadeploy/agent/internal/fault"
)

// loopDisk attaches a sparse file as a disk with partitions.
func loopDisk(t *testing.T, size int64) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("this test uses loop devices: run it as root")
	}
	file := filepath.Join(t.TempDir(), "disk")
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Truncate(size); err != nil {
		t.Fatal(err)
	}
	f.Close()
	dev := strings.TrimSpace(output(t, "losetup", "--find", "--show", "--partscan", file))
	t.Cleanup(func() { output(t, "losetup", "--detach", dev) })
	return dev
}

func output(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

func TestPartitionFormatAndUse(t *testing.T) {
	const size = 8 << 30
	dev := loopDisk(t, size)
	h := &Host{}
	output(t, "mkfs.ext4", "-q", "-F", "-E", "nodiscard", dev) // a stale signature over it all

	made, err := h.Partition(t.Context(), Plan{Disk: Target{Disk: dev}, DiskID: "disk7", ExpectSize: size})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, p := range made {
		got = append(got, strings.TrimPrefix(p.Path, dev)+" "+p.Label)
		info := output(t, "blkid", "-p", "-o", "export", "-s", "PART_ENTRY_UUID", "-s", "PART_ENTRY_NAME", "-s", "PART_ENTRY_TYPE", p.Path)
		for _, want := range []string{"PART_ENTRY_UUID=" + p.UUID, "PART_ENTRY_NAME=" + p.Label, "PART_ENTRY_TYPE=" + strings.ToLower(p.Type)} {
			if !strings.Contains(info, want) {
				t.Errorf("%s: blkid says %q, want %s", p.Path, info, want)
			}
		}
	}
	want := []string{"p6 KDPL_BIOS_disk7", "p1 KDPL_SWAP_disk7", "p2 KDPL_PROD_disk7", "p3 KDPL_DEPLOY_disk7", "p4 KDPL_EFI_disk7", "p5 KDPL_TMP_disk7"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("partitions (-want +got):\n%s", diff)
	}
	if sig, err := Probe(dev); err != nil || sig.Type != "" {
		t.Errorf("the disk itself still has a signature: %+v, %v", sig, err)
	}
	output(t, "sfdisk", "--verify", dev)

	// Again, over what is there, with a layout of one's own.
	made, err = h.Partition(t.Context(), Plan{Disk: Target{Disk: dev}, Layout: []Spec{
		{Label: "EFI", Size: 100 * mib, Type: "esp"}, {Number: 3, Label: "DEPLOY", Type: TypeLinux}, {Label: "SWAP", Size: 64 * mib, Type: "swap"}}})
	if err != nil {
		t.Fatal(err)
	}
	if len(made) != 3 || made[1].Path != dev+"p3" || made[2].Path != dev+"p2" {
		t.Errorf("own layout: %+v", made)
	}
	d, err := h.Resolve(Target{Disk: dev, Partition: 3})
	if err != nil || d.Path != dev+"p3" || d.Partition.Start != 101*mib {
		t.Errorf("Resolve partition 3 = %+v, %v", d, err)
	}
	testFormats(t, h, dev)
	testRefusals(t, h, dev)
}

func testFormats(t *testing.T, h *Host, dev string) {
	t.Helper()
	for _, fs := range []string{"xfs", "btrfs", "ext2", "ext3", "vfat", "swap", "ext4"} {
		f := Format{Target: Target{Disk: dev, Partition: 3}, Filesystem: fs, Label: "NAMED"}
		if fs == "ext4" {
			f.Arguments = Words(" -N 5000 -m 0")
		}
		d, sig, err := h.Format(t.Context(), f)
		if err != nil {
			t.Errorf("%v", err)
			continue
		}
		// The reference for our reading of superblocks is blkid's.
		uuid := strings.TrimSpace(output(t, "blkid", "-p", "-o", "value", "-s", "UUID", d.Path))
		kind := strings.TrimSpace(output(t, "blkid", "-p", "-o", "value", "-s", "TYPE", d.Path))
		if diff := cmp.Diff(Signature{kind, uuid, "NAMED"}, sig); diff != "" || kind != fs {
			t.Errorf("Format %s: signature (-blkid +ours):\n%s", fs, diff)
		}
	}
	if s := output(t, "dumpe2fs", "-h", dev+"p3"); !strings.Contains(s, "Reserved block count:     0\n") {
		t.Error("the further arguments of mkfs were not used")
	}
	for _, tt := range []struct {
		f    Format
		kind fault.Kind
		text string
	}{
		{Format{Target: Target{Disk: dev, Partition: 3}, Filesystem: "ntfs"}, fault.Invalid, "unknown file system"},
		{Format{Target: Target{Disk: dev, Partition: 9}, Filesystem: "ext4"}, fault.Precondition, "no partition 9"},
		{Format{Target: Target{Disk: dev, Partition: 3}, Filesystem: "ext4", Arguments: []string{"-I", "7"}}, fault.Internal, "mkfs.ext4"},
	} {
		_, _, err := h.Format(t.Context(), tt.f)
		if fault.KindOf(err) != tt.kind || err == nil || !strings.Contains(err.Error(), tt.text) {
			t.Errorf("Format %+v = %v, want kind %d and %q", tt.f, err, tt.kind, tt.text)
		}
	}
}

func testRefusals(t *testing.T, h *Host, dev string) {
	t.Helper()
	mnt := t.TempDir()
	output(t, "mkfs.ext4", "-q", "-F", dev+"p3")
	for _, tt := range []struct {
		plan Plan
		kind fault.Kind
		text string
	}{
		{Plan{Disk: Target{Disk: dev}, ExpectSize: 1 << 30}, fault.Precondition, "8589934592 bytes where 1073741824 are expected"},
		{Plan{Disk: Target{Disk: dev}, ExpectSerial: "XYZ"}, fault.Precondition, `"XYZ" is expected`},
		{Plan{Disk: Target{Disk: dev + "p3"}}, fault.Invalid, "is a partition"},
		{Plan{Disk: Target{Disk: dev}, Layout: []Spec{{Size: 1 << 40, Type: TypeLinux}}}, fault.Precondition, "do not fit"},
		{Plan{Disk: Target{Disk: dev}}, fault.Precondition, "in use: mounted on " + mnt},
	} {
		if strings.Contains(tt.text, "mounted") {
			output(t, "mount", dev+"p3", mnt)
			defer output(t, "umount", mnt)
		}
		_, err := h.Partition(t.Context(), tt.plan)
		if fault.KindOf(err) != tt.kind || err == nil || !strings.Contains(err.Error(), tt.text) {
			t.Errorf("Partition %+v = %v, want kind %d and %q", tt.plan, err, tt.kind, tt.text)
		}
	}
	_, _, err := h.Format(t.Context(), Format{Target: Target{Disk: dev, Partition: 3}, Filesystem: "ext4"})
	if fault.KindOf(err) != fault.Precondition || !strings.Contains(err.Error(), "mounted on "+mnt) {
		t.Errorf("Format of a mounted partition = %v, want a refusal", err)
	}
	if _, err := h.Resolve(Target{Disk: dev, Partition: 3}); err != nil {
		t.Errorf("after the refusals the disk is not what it was: %v", err)
	}
}

func FuzzParseSignature(f *testing.F) {
	ext := make([]byte, probeSize)
	ext[0x438], ext[0x439] = 0x53, 0xef
	f.Add(ext)
	f.Add([]byte("XFSB"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if sig := parseSignature(b); sig.Type == "" && sig.UUID != "" {
			t.Errorf("a UUID of nothing: %+v", sig)
		}
	})
}
