package disk

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kadeploy/agent/internal/fault"
)

// machine builds a sysfs and a /dev for disks given as "bus/name": bytes.
func machine(t *testing.T, files map[string]string) *Host {
	t.Helper()
	root := t.TempDir()
	h := &Host{Sys: filepath.Join(root, "sys"), Dev: filepath.Join(root, "dev")}
	for _, dir := range []string{h.sys("block"), h.sys("class/block"), h.dev("disk/by-path")} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for path, content := range files {
		full := h.sys("devices", path)
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(full, []byte(content+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	err := filepath.WalkDir(h.sys("devices"), func(path string, d os.DirEntry, err error) error {
		if err != nil || d.Name() != "size" {
			return err
		}
		dir := filepath.Dir(path)
		name := filepath.Base(dir)
		if err := os.WriteFile(h.dev(name), nil, 0o600); err != nil {
			return err
		}
		if err := os.Symlink(dir, h.sys("class/block", name)); err != nil {
			return err
		}
		if _, err := os.Stat(filepath.Join(dir, "partition")); err == nil {
			return nil
		}
		return os.Symlink(dir, h.sys("block", name))
	})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func example(t *testing.T) *Host {
	return machine(t, map[string]string{
		"pci0000:00/0000:00:1f.2/ata2/sda/size":                    "2097152",
		"pci0000:00/0000:00:1f.2/ata2/sda/removable":               "0",
		"pci0000:00/0000:00:1f.2/ata2/sda/device/model":            "ST2000 ",
		"pci0000:00/0000:00:1f.2/ata2/sda/device/vpd_pg80":         "\x00\x80\x00\x08 W1234",
		"pci0000:00/0000:00:1f.2/ata2/sda/queue/rotational":        "1",
		"pci0000:00/0000:00:1f.2/ata2/sda/sda1/partition":          "1",
		"pci0000:00/0000:00:1f.2/ata2/sda/sda1/size":               "1000",
		"pci0000:00/0000:00:1f.2/ata2/sda/sda1/start":              "2048",
		"pci0000:00/0000:00:1f.2/ata2/sda/sda10/partition":         "10",
		"pci0000:00/0000:00:1f.2/ata2/sda/sda10/size":              "1000",
		"pci0000:00/0000:00:1f.2/ata2/sda/sda2/partition":          "2",
		"pci0000:00/0000:00:1f.2/ata2/sda/sda2/size":               "1000",
		"pci0000:00/0000:00:1f.2/ata2/sda/sda2/uevent":             "DEVNAME=sda2\nPARTN=2\nPARTNAME=KDPL_PROD_disk1",
		"pci0000:00/0000:00:1f.2/ata2/sdb/size":                    "4194304",
		"pci0000:00/0000:00:1f.2/ata2/sdb/sdb1/partition":          "1",
		"pci0000:00/0000:00:1f.2/ata2/sdb/sdb1/size":               "1000",
		"pci0000:00/0000:00:1f.2/ata2/sdb/sdb1/uevent":             "PARTNAME=KDPL_PROD_disk1",
		"pci0000:00/0000:00:03.0/nvme/nvme0n1/size":                "8388608",
		"pci0000:00/0000:00:03.0/nvme/nvme0n1/wwid":                "eui.0123",
		"pci0000:00/0000:00:03.0/nvme/nvme0n1/device/serial":       "NV1",
		"pci0000:00/0000:00:03.0/nvme/nvme0n1/nvme0n1p3/partition": "3",
		"pci0000:00/0000:00:03.0/nvme/nvme0n1/nvme0n1p3/size":      "2048",
		"pci0000:00/0000:00:03.0/nvme/nvme0n1/nvme0n1p3/uevent":    "PARTNAME=KDPL_DEPLOY_disk0",
		"pci0000:00/0000:00:1d.0/usb/sdc/size":                     "100",
		"pci0000:00/0000:00:1d.0/usb/sdc/removable":                "1",
		"virtual/loop0/size":                                       "100",
		"virtual/zram0/size":                                       "100",
		"virtual/dm-0/size":                                        "100",
		"pci0000:00/0000:00:1f.3/ata9/sde/size":                    "0",
	})
}

func TestDisks(t *testing.T) {
	h := example(t)
	disks, err := h.Disks()
	if err != nil {
		t.Fatal(err)
	}
	for i := range disks {
		disks[i].Path = filepath.Base(disks[i].Path)
		disks[i].Bus = ""
		for j := range disks[i].Partitions {
			disks[i].Partitions[j].Path = ""
		}
	}
	want := []Disk{
		{Name: "nvme0n1", Path: "nvme0n1", Size: 4 << 30, Serial: "NV1", WWN: "eui.0123",
			Partitions: []Partition{{Name: "nvme0n1p3", Number: 3, Label: "KDPL_DEPLOY_disk0", Size: 1 << 20}}},
		{Name: "sda", Path: "sda", Size: 1 << 30, Model: "ST2000", Serial: "W1234", Rotational: true, Partitions: []Partition{
			{Name: "sda1", Number: 1, Start: 1 << 20, Size: 512000},
			{Name: "sda2", Number: 2, Label: "KDPL_PROD_disk1", Size: 512000},
			{Name: "sda10", Number: 10, Size: 512000},
		}},
		{Name: "sdb", Path: "sdb", Size: 2 << 30, Partitions: []Partition{{Name: "sdb1", Number: 1, Label: "KDPL_PROD_disk1", Size: 512000}}},
	}
	if diff := cmp.Diff(want, disks); diff != "" {
		t.Errorf("Disks (-want +got):\n%s", diff)
	}
}

func TestResolve(t *testing.T) {
	h := example(t)
	if err := os.Symlink("../../sda", h.dev("disk/by-path/pci-1f-ata-2")); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		target  Target
		want    string
		kind    fault.Kind
		errText string
	}{
		{Target{Disk: "disk0"}, "nvme0n1", 0, ""},
		{Target{Disk: "disk1"}, "sda", 0, ""},
		{Target{Disk: "disk0", Partition: 3}, "nvme0n1p3", 0, ""},
		{Target{Disk: "disk1", Partition: 10}, "sda10", 0, ""},
		{Target{Disk: "DEV/sdb", Partition: 1}, "sdb1", 0, ""},
		{Target{Disk: "DEV/sdb1"}, "sdb1", 0, ""},
		{Target{Disk: "DEV/disk/by-path/pci-1f-ata-2", Partition: 2}, "sda2", 0, ""},
		{Target{Disk: "disk0", Label: "DEPLOY"}, "nvme0n1p3", 0, ""},
		{Target{Disk: "DEV/sda", Label: "PROD"}, "sda2", 0, ""},
		{Target{Disk: "disk1", Label: "PROD"}, "", fault.Precondition, "are both labelled KDPL_PROD_disk1"},
		{Target{Disk: "disk0", Label: "TMP"}, "", fault.Precondition, "no partition is labelled KDPL_TMP_disk0"},
		{Target{Disk: "DEV/sda", Label: "TMP"}, "", fault.Precondition, "labelled KDPL_TMP_*"},
		{Target{Disk: "disk3"}, "", fault.Precondition, "the node has 3 disks: "},
		{Target{Disk: "DEV/sdz"}, "", fault.Precondition, "no such device; the node's disks are"},
		{Target{Disk: "disk0", Partition: 4}, "", fault.Precondition, "no partition 4: create the partition table"},
		{Target{}, "", fault.Invalid, "no disk is named"},
		{Target{Disk: "sda"}, "", fault.Invalid, "nor a disk id"},
		{Target{Disk: "diskette"}, "", fault.Invalid, "nor a disk id"},
		{Target{Disk: "disk0", Partition: 1, Label: "X"}, "", fault.Invalid, "both a number and a label"},
		{Target{Disk: "DEV/sdb1", Partition: 1}, "", fault.Invalid, "is a partition already"},
		{Target{Disk: "DEV/disk"}, "", fault.Invalid, "not a block device"},
	} {
		tt.target.Disk = strings.Replace(tt.target.Disk, "DEV", h.Dev, 1)
		d, err := h.Resolve(tt.target)
		if tt.errText != "" {
			if fault.KindOf(err) != tt.kind || !strings.Contains(err.Error(), tt.errText) {
				t.Errorf("Resolve(%s) = %v, want kind %d and %q", tt.target, err, tt.kind, tt.errText)
			}
			continue
		}
		if err != nil || d.Path != h.dev(tt.want) {
			t.Errorf("Resolve(%s) = %s, %v, want %s", tt.target, d.Path, err, tt.want)
		}
	}
}

func TestPartitionName(t *testing.T) {
	for disk, want := range map[string]string{"sda": "sda3", "vdb": "vdb3", "nvme0n1": "nvme0n1p3", "mmcblk0": "mmcblk0p3", "loop7": "loop7p3"} {
		if got := partitionName(disk, 3); got != want {
			t.Errorf("partitionName(%s, 3) = %s, want %s", disk, got, want)
		}
	}
}

func TestCompareNaturally(t *testing.T) {
	order := []string{"", "a", "a2", "a02b", "a10", "b", "sda", "sda2", "sda10", "sdaa"}
	for i, a := range order {
		for j, b := range order {
			if got := compareNaturally(a, b); (got < 0) != (i < j) || (got > 0) != (i > j) {
				t.Errorf("compareNaturally(%q, %q) = %d", a, b, got)
			}
		}
	}
}
