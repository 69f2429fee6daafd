package bootloader

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestRootArgument(t *testing.T) {
	full := Install{RootDevice: "/dev/vda3", RootUUID: "u", RootLabel: "KDPL_DEPLOY_disk0", RootPartUUID: "p", Initrd: "/i", Params: "quiet"}
	change := func(f func(*Install)) Install {
		in := full
		f(&in)
		return in
	}
	for _, c := range []struct {
		name   string
		in     Install
		noUUID bool
		want   string
	}{
		{"UUID", full, false, "root=UUID=u ro "},
		{"label", full, true, "root=/dev/disk/by-partlabel/KDPL_DEPLOY_disk0 ro "},
		{"no label", change(func(in *Install) { in.RootLabel = "" }), true, "root=/dev/vda3 ro "},
		{"unknown file system", change(func(in *Install) { in.RootUUID = "" }), false, "root=/dev/disk/by-partlabel/KDPL_DEPLOY_disk0 ro "},
		{"no initrd", change(func(in *Install) { in.Initrd = "" }), false, "root=PARTUUID=p ro "},
		{"no initrd, label", change(func(in *Install) { in.Initrd = "" }), true, "root=PARTLABEL=KDPL_DEPLOY_disk0 ro "},
		{"given", change(func(in *Install) { in.Params = "quiet root=/dev/sda9" }), false, "ro "},
	} {
		if got := c.in.rootArgument(choices{noUUID: c.noUUID}); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

func TestHypervisor(t *testing.T) {
	in := system(t, map[string]string{
		"boot/vmlinuz-6.1": "k", "boot/initrd.img-6.1": "i", "boot/xen.gz": "x", "usr/sbin/grub-mkconfig": "#!/bin/false\n",
	})
	in.Hypervisor, in.HypervisorParams = "/boot/xen.gz", "dom0_mem=1G"
	if err := in.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	config := read(t, in, "boot/grub/grub.cfg")
	for _, want := range []string{
		"multiboot2 /boot/xen.gz dom0_mem=1G\n", "module2 /boot/vmlinuz-6.1 root=UUID=0123 ro console", "module2 --nounzip /boot/initrd.img-6.1\n",
	} {
		if !strings.Contains(config, want) {
			t.Errorf("grub.cfg lacks %q:\n%s", want, config)
		}
	}
	if got := defaultKernel(config); got != "/boot/vmlinuz-6.1" {
		t.Errorf("defaultKernel = %q", got)
	}
}

// On a /boot of its own grub sees the files without that directory.
func TestSeparateBoot(t *testing.T) {
	in := system(t, nil)
	boot := filepath.Join(in.Root, "boot")
	if err := os.MkdirAll(boot, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("separate", boot, "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Unmount(boot, unix.MNT_DETACH) })
	for _, name := range []string{"vmlinuz-6.1", "initrd.img-6.1"} {
		if err := os.WriteFile(filepath.Join(boot, name), []byte(name), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	in.UUID = func(device string) string { return "uuid-of-" + device }
	if err := in.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	config := read(t, in, "boot/grub/grub.cfg")
	for _, want := range []string{"--fs-uuid --set=root uuid-of-separate\n", "linux /vmlinuz-6.1 root=UUID=0123 ", "initrd /initrd.img-6.1\n"} {
		if !strings.Contains(config, want) {
			t.Errorf("grub.cfg lacks %q:\n%s", want, config)
		}
	}
	if err := in.checkKernel(config); err != nil {
		t.Error(err)
	}
}

func TestMenuOnTheSerialConsole(t *testing.T) {
	in := system(t, kernel)
	in.Variables["BOOTLOADER_SHOW_MENU"] = "1"
	if err := in.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if config := read(t, in, "boot/grub/grub.cfg"); !strings.Contains(config, "serial --unit=0 --speed=115200\nterminal_input console serial\nterminal_output console serial\n") {
		t.Errorf("grub.cfg:\n%s", config)
	}
}
