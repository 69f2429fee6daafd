package bootloader

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"kadeploy/agent/internal/mountinfo"
)

// onDisk extracts the environment of `make environment`, a real Debian with a real
// grub, onto a disk of its own.
func onDisk(t *testing.T) Install {
	t.Helper()
	dir := os.Getenv("KADEPLOY_ENVIRONMENT")
	if dir == "" {
		t.Skip("KADEPLOY_ENVIRONMENT is not set: `make test` sets it")
	}
	work := t.TempDir()
	file, root := filepath.Join(work, "disk"), filepath.Join(work, "dest")
	sh(t, "truncate -s 2G %s", file)
	disk := sh(t, "losetup --find --show --partscan %s", file)
	t.Cleanup(func() { sh(t, "losetup --detach %s", disk) })
	sh(t, `printf 'label: gpt\nsize=1MiB,type=21686148-6449-6E6F-744E-656564454649\nsize=128MiB,type=uefi,name=KDPL_EFI_disk0\nname=KDPL_DEPLOY_disk0\n' | sfdisk -q %s`, disk)
	sh(t, "partx -u %s || true; for i in 1 2 3 4 5 6 7 8 9 10; do test -b %sp3 && exit 0; sleep 0.2; done; exit 1", disk, disk)
	sh(t, "mkfs.vfat -F 32 %sp2 && mkfs.ext4 -q %sp3 && mkdir %s && mount %sp3 %s", disk, disk, root, disk, root)
	t.Cleanup(func() { sh(t, "umount -R %s", root) })
	sh(t, "tar -C %s --zstd --numeric-owner -xf %s/debian12-min.tar.zst", root, dir)
	return Install{
		Root: root, Disk: disk, RootDevice: disk + "p3", RootUUID: sh(t, "blkid -p -s UUID -o value %sp3", disk),
		RootLabel: "KDPL_DEPLOY_disk0", ESP: disk + "p2", ESPNumber: 2,
		Kernel: "/vmlinuz", Initrd: "/initrd.img", Params: "console=ttyS0,115200 mark=1",
	}
}

// needVFAT skips on a kernel without vfat; the lab's UEFI machine shows the same.
func needVFAT(t *testing.T) {
	t.Helper()
	exec.Command("modprobe", "-q", "vfat").Run()
	if text, err := os.ReadFile("/proc/filesystems"); err != nil || !strings.Contains(string(text), "\tvfat\n") {
		t.Skip("this machine's kernel has no vfat")
	}
}

func sh(t *testing.T, format string, args ...any) string {
	t.Helper()
	line := fmt.Sprintf(format, args...)
	out, err := exec.Command("sh", "-ec", line).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", line, err, out)
	}
	return strings.TrimSpace(string(out))
}

// TestRealGrub runs the environment's own grub, with each of the variables.
func TestRealGrub(t *testing.T) {
	base := onDisk(t)
	config := filepath.Join(base.Root, "boot/grub/grub.cfg")
	core := filepath.Join(base.Root, "boot/grub/i386-pc/core.img")
	loader := filepath.Join(base.Root, "boot/grub/x86_64-efi/core.efi")
	generated := "### BEGIN /etc/grub.d/10_linux ###"
	for _, c := range []struct {
		variable    string
		uefi        bool
		installed   bool
		want, lacks []string // of grub.cfg; no want: there is none
	}{
		{"", false, true, []string{generated, "mark=1", "timeout=0"}, nil},
		{"BOOTLOADER_SKIP", false, false, nil, nil},
		{"BOOTLOADER_NO_CONFIG", false, true, nil, nil},
		{"BOOTLOADER_NO_INSTALL", false, false, []string{generated, "mark=1"}, nil},
		{"BOOTLOADER_NO_GRUB_MKCONFIG_FROM_DEST", false, true, []string{"'Deployed system'", "root=UUID=" + base.RootUUID}, []string{generated}},
		{"BOOTLOADER_NO_UUID", false, true, []string{generated, "root=/dev/disk/by-partlabel/KDPL_DEPLOY_disk0"}, []string{"root=UUID"}},
		{"BOOTLOADER_SHOW_MENU", false, true, []string{generated, "timeout=5", "timeout_style=menu", "serial --unit=0 --speed=115200"}, nil},
		{"", true, true, []string{generated, "mark=1"}, nil},
	} {
		t.Run(fmt.Sprintf("%s uefi=%t", c.variable, c.uefi), func(t *testing.T) {
			if c.uefi {
				needVFAT(t)
			}
			sh(t, "rm -rf %s/boot/grub %s/etc/default/grub.d; dd if=/dev/zero of=%s bs=440 count=1 conv=notrunc status=none", base.Root, base.Root, base.Disk)
			var out bytes.Buffer
			in := base
			in.UEFI, in.Output = c.uefi, &out
			in.Variables = map[string]string{c.variable: "1"}
			err := in.Run(t.Context())
			if err != nil {
				t.Fatalf("%v\n%s", err, &out)
			}
			text, _ := os.ReadFile(config)
			if (len(text) > 0) != (len(c.want) > 0) {
				t.Errorf("grub.cfg has %d bytes\n%s", len(text), &out)
			}
			for _, want := range c.want {
				if !strings.Contains(string(text), want) {
					t.Errorf("grub.cfg lacks %q:\n%s", want, text)
				}
			}
			for _, lacks := range c.lacks {
				if strings.Contains(string(text), lacks) {
					t.Errorf("grub.cfg has %q:\n%s", lacks, text)
				}
			}
			file := core
			if c.uefi {
				file = loader
			}
			if _, err := os.Stat(file); (err == nil) != c.installed {
				t.Errorf("%s: %v\n%s", file, err, &out)
			}
			if boot := sh(t, "head -c 440 %s | tr -d '\\0' | wc -c", in.Disk); !c.uefi && (boot != "0") != c.installed {
				t.Errorf("boot sector has %s bytes", boot)
			}
			if mounts, err := mountinfo.Read(); err != nil || len(mountinfo.Below(mounts, in.Root)) != 1 {
				t.Errorf("left mounted: %v, %v", mountinfo.Below(mounts, in.Root), err)
			}
		})
	}
	t.Run("the ESP", func(t *testing.T) {
		needVFAT(t)
		point := t.TempDir()
		sh(t, "mount -o ro %s %s", base.ESP, point)
		defer sh(t, "umount %s", point)
		for _, name := range []string{"EFI/kadeploy/grubx64.efi", "EFI/BOOT/BOOTX64.EFI"} {
			if info, err := os.Stat(filepath.Join(point, name)); err != nil || info.Size() < 50_000 {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
	t.Run("another kernel is newer", func(t *testing.T) {
		sh(t, "cp %s/boot/vmlinuz-* %s/boot/vmlinuz-99.0", base.Root, base.Root)
		in := base
		in.Variables = map[string]string{"BOOTLOADER_NO_INSTALL": "1"}
		if err := in.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "Kernel file mismatch between grub and the environment description") || !strings.Contains(err.Error(), "/boot/vmlinuz-99.0") {
			t.Errorf("error %v", err)
		}
		if mounts, err := mountinfo.Read(); err != nil || len(mountinfo.Below(mounts, in.Root)) != 1 {
			t.Errorf("left mounted: %v, %v", mountinfo.Below(mounts, in.Root), err)
		}
	})
}
