package e2e

import (
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"kadeploy/minios/lab"
)

// TestUEFI deploys a machine that boots by UEFI: it enters the system by kexec,
// and then boots it from its own disk, with the system's own grub.
func TestUEFI(t *testing.T) {
	r := startLab(t, lab.Options{Nodes: 1, UEFI: true}, nil)
	begin := time.Now()
	out := r.deploy("-a", r.envs+"/debian12-min.dsc", "-m", "node-1.lab", "--force-steps", once, "-d")
	same(t, "nodes that are up", out.ok, "node-1.lab")
	if t.Failed() {
		return
	}
	contains(t, "what the boot loader step printed", out.stdout, "Installing for x86_64-efi platform.")
	t.Logf("deployed after %.0f s", time.Since(begin).Seconds())
	checkSystem(t, r, "node-1")
	for command, want := range map[string]string{
		"test -d /sys/firmware/efi && echo uefi":                                                 "uefi",
		"findmnt -no FSTYPE /boot/efi || lsblk -no FSTYPE /dev/disk/by-partlabel/KDPL_EFI_disk0": "vfat",
	} {
		if got := r.login("node-1", command); got != want {
			t.Errorf("%s: %q, want %q", command, got, want)
		}
	}
	// The firmware's own list: the entry is there, and it is the last to be tried. Names there are UTF-16.
	entry := r.login("node-1", `cd /sys/firmware/efi/efivars; for f in Boot0*; do tr -d '\000' <$f | grep -aq kadeploy && echo ${f%%-*}; done; true`)
	if !regexp.MustCompile(`^Boot[0-9A-F]{4}$`).MatchString(entry) {
		t.Errorf("the firmware's entries that name kadeploy: %q, want one", entry)
	}
	last := r.login("node-1", `cd /sys/firmware/efi/efivars; tail -c 2 BootOrder-* | od -An -tx2`)
	if want := strings.TrimPrefix(entry, "Boot"); !strings.EqualFold(last, want) {
		t.Errorf("the last of the firmware's list is %s, want %s", last, want)
	}

	begin = time.Now()
	reboot := r.run("kareboot3", "-r", "simple", "-l", "hard", "-m", "node-1.lab")
	if reboot.status != 0 {
		t.Fatalf("kareboot3: %s", reboot)
	}
	node, err := r.Node("node-1")
	if err != nil {
		t.Fatal(err)
	}
	console, err := os.ReadFile(node.ConsoleLog)
	if err != nil {
		t.Fatal(err)
	}
	// Else the firmware found the disk by itself, which takes longer.
	t.Logf("started by local.efi: %t", strings.Contains(string(console), "Kadeploy: starting (hd0,gpt"))
	t.Logf("rebooted after %.0f s", time.Since(begin).Seconds())
	checkSystem(t, r, "node-1")
	line := r.login("node-1", "cat /proc/cmdline; test -d /sys/firmware/efi && echo uefi")
	if !strings.Contains(line, "BOOT_IMAGE=") || !strings.HasSuffix(line, "uefi") {
		t.Errorf("node-1 was not booted by its own grub, by UEFI: %s", line)
	}
}
