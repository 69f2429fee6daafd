package service

import (
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"kadeploy/agent/internal/disk"
	"kadeploy/agent/internal/fstab"
)

// TestPartsOfOneFileSystem: halves of a mirror and the devices of a btrfs share names
// by right; copies do not.
func TestPartsOfOneFileSystem(t *testing.T) {
	file := func(name, uuid string, member bool) fstab.Named {
		const size = 8 << 20
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(path, size); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command("mkfs.ext4", "-q", "-L", "root", "-U", uuid, path).CombinedOutput(); err != nil {
			t.Fatalf("mkfs.ext4: %v: %s", err, out)
		}
		if member { // the superblock of an array of version 0.90
			f, err := os.OpenFile(path, os.O_WRONLY, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			block := make([]byte, 4096)
			binary.LittleEndian.PutUint32(block, 0xa92b4efc)
			binary.LittleEndian.PutUint32(block[8:], 90)
			binary.LittleEndian.PutUint32(block[20:], 0x1234)
			if _, err := f.WriteAt(block, size-64<<10); err != nil {
				t.Fatal(err)
			}
		}
		signature, err := disk.Probe(path)
		if err != nil {
			t.Fatal(err)
		}
		return fstab.Named{Path: path, UUID: signature.UUID, Label: signature.Label, Type: signature.Type}
	}
	const uuid = "11111111-2222-3333-4444-555555555555"
	for _, c := range []struct {
		name    string
		devices []fstab.Named
		doubts  int
	}{
		{"copies", []fstab.Named{file("a", uuid, false), file("b", uuid, false)}, 1},
		{"a mirror and its array", []fstab.Named{file("a", uuid, true), file("b", uuid, true), file("md", uuid, false)}, 0},
		{"one btrfs", []fstab.Named{{Path: "/dev/none-a", Type: "btrfs", UUID: uuid, Label: "x"}, {Path: "/dev/none-b", Type: "btrfs", UUID: uuid, Label: "x"}}, 0},
		{"two btrfs", []fstab.Named{{Path: "/dev/none-a", Type: "btrfs", UUID: "1", Label: "x"}, {Path: "/dev/none-b", Type: "btrfs", UUID: "2", Label: "x"}}, 1},
	} {
		line := "root=UUID=" + uuid
		if c.name == "two btrfs" {
			line = "root=LABEL=x"
		}
		if before := fstab.Ambiguous("", line, c.devices); len(before) != 1 {
			t.Errorf("%s: %v, want a doubt at first", c.name, before)
		}
		if got := fstab.Ambiguous("", line, withoutParts(t.Context(), c.devices)); len(got) != c.doubts {
			t.Errorf("%s: %v, want %d doubts", c.name, got, c.doubts)
		}
	}
}
