package e2e

import (
	"os"
	"strings"
	"testing"

	"kadeploy/minios/lab"
)

// TestBootOfItsOwn deploys with /boot on a partition of its own before a root of XFS,
// enters the system by kexec, and then boots the disk.
func TestBootOfItsOwn(t *testing.T) {
	if testing.Short() {
		t.Skip(whole)
	}
	r := startLab(t, lab.Options{Nodes: 1}, nil)
	more := `options:
  layout:
  - {label: BIOS, size: 1MiB, type: bios}
  - {label: BOOT, size: 500MiB, filesystem: ext4, mount: /boot}
  - {label: ROOT, size: 4GB, mount: /}
  - {label: VAR, size: 2GB, filesystem: ext4, mount: /var}
`
	description := r.environment("boot-of-its-own", more, "")
	text, err := os.ReadFile(description)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(description, []byte(strings.Replace(string(text), "filesystem: ext4\npartition_type", "filesystem: xfs\npartition_type", 1)), 0o644); err != nil {
		t.Fatal(err)
	}
	r.lands("KDPL_ROOT_disk0", "-a", description)
	check := func(how string) {
		t.Helper()
		got := r.login("node-1", "for d in / /boot /var; do echo $(findmnt -no FSTYPE,PARTLABEL $d); done")
		if want := "xfs KDPL_ROOT_disk0\next4 KDPL_BOOT_disk0\next4 KDPL_VAR_disk0"; got != want {
			t.Errorf("file systems, %s: %s, want %s", how, got, want)
		}
	}
	check("entered by kexec")
	if reboot := r.run("kareboot3", "-r", "simple", "-l", "hard", "-m", "node-1.lab"); reboot.status != 0 {
		t.Fatalf("kareboot3: %s", reboot)
	}
	check("booted from the disk")
	contains(t, "the kernel's command line, from grub", r.login("node-1", "cat /proc/cmdline"), "BOOT_IMAGE=/vmlinuz-")
}
