package vmtest

import (
	"errors"
	"fmt"
	"net"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

// One boot serves all checks: booting is what costs.
func TestMiniOS(t *testing.T) {
	m := boot(t, "kadeploy.node=node-7.lab kadeploy.coordinator=127.0.0.1:1 kadeploy.token=00 "+
		"kadeploy.fingerprint="+strings.Repeat("0", 64)+" DISK_DEV=vda DEBUG=touch_/run/debug-ran")
	m.awaitLine("mini-OS is ready", 40*time.Second)

	conn, err := net.DialTimeout("tcp", m.beacon, 5*time.Second)
	if err != nil {
		t.Errorf("port 25300: %v", err)
	} else {
		conn.Close()
	}
	client := m.login()
	for _, check := range []struct{ name, script, want string }{
		{"name", "hostname; getent hosts node-7 | awk '{print $2}'", "node-7.lab\nnode-7.lab"},
		{"file systems", "for d in /proc /sys /dev /dev/pts /dev/shm /run /tmp; do mountpoint -q $d || echo $d; done; ls -d /rambin /mnt/dest /mnt/tmp",
			"/mnt/dest\n/mnt/tmp\n/rambin"},
		{"loopback and route", "ip -o addr show lo | grep -c 127.0.0.1; ip route | grep -c ^default", "1\n1"},
		{"DEBUG command", "ls /run/debug-ran", "/run/debug-ran"},
		{"nothing is a zombie", "ps -eo stat= | grep -c Z || true", "0"},
		{"tools that scripts expect", "for t in bash parted sfdisk fdisk partprobe mkfs.ext2 mkfs.ext3 mkfs.ext4 mkfs.xfs mkfs.btrfs mkfs.vfat mkswap wipefs blkid lsblk " +
			"tar gzip bzip2 xz zstd grub-install kexec mount umount modprobe nc chroot udevadm scp; do command -v $t >/dev/null || echo missing: $t; done", ""},
		{"real tools, not busybox", "for t in sh mke2fs mkfs.vfat mkswap fdisk find xargs chroot env tar nc; do readlink -f $(command -v $t) | grep busybox || true; done", ""},
		{"programs find their libraries", "for t in 'parted -v' 'sfdisk -v' 'mkfs.xfs -V' 'mkfs.btrfs -V' 'mkfs.vfat --help' 'grub-install -V' 'kexec -v' 'xz -V' 'zstd -V' 'efibootmgr -V' 'lsblk -V' 'mkfs.ext4 -V' 'sshd -t'; do $t >/tmp/out 2>&1 || { cat /tmp/out; echo failed: $t; }; done", ""},
		{"udev names a new partition", `printf 'label: gpt\nsize=512M,name=KDPL_PROD_disk0\nname=KDPL_DEPLOY_disk0\n' | sfdisk -q /dev/vda
			udevadm settle; for i in $(seq 100); do [ -e /dev/disk/by-partlabel/KDPL_DEPLOY_disk0 ] && break; sleep 0.1; done
			readlink -f /dev/disk/by-partlabel/KDPL_DEPLOY_disk0 /dev/disk/by-id/virtio-disk-a-part1`, "/dev/vda2\n/dev/vda1"},
		{"file systems can be made and mounted", `for f in ext4 xfs btrfs vfat; do force=-f; [ $f = ext4 ] && force=-F; [ $f = vfat ] && force=
			wipefs -qa /dev/vda1; mkfs.$f $force /dev/vda1 >/tmp/out 2>&1 || cat /tmp/out
			mount /dev/vda1 /mnt/dest; echo x >/mnt/dest/x; umount /mnt/dest; blkid -p -o value -s TYPE /dev/vda1; done`, "ext4\nxfs\nbtrfs\nvfat"},
		{"a killed worker comes back with its key", `old=$(pgrep -f 'kadeploy-agent worker'); key=$(sha256sum /run/kadeploy/agent.key); stat -c %a /run/kadeploy/agent.key; kill -9 $old
			for i in $(seq 100); do new=$(pgrep -f 'kadeploy-agent worker' || true); [ -n "$new" ] && [ "$new" != "$old" ] && break; sleep 0.1; done
			[ "$new" != "$old" ] && echo restarted; [ "$key" = "$(sha256sum /run/kadeploy/agent.key)" ] && echo same`, "600\nrestarted\nsame"},
		{"a killed udevd comes back", `old=$(pidof udevd systemd-udevd | awk '{print $1}'); kill -9 $old; for i in $(seq 100); do udevadm control --ping 2>/dev/null && break; sleep 0.1; done; udevadm control --ping && echo ok`, "ok"},
		{"orphans are reaped", "(setsid sh -c 'sleep 0.2' &) ; sleep 1; ps -eo stat= | grep -c Z || true", "0"},
	} {
		got, err := run(client, check.script)
		if err != nil || got != check.want {
			t.Errorf("%s: got %q, want %q, error %v", check.name, got, check.want, err)
		}
	}
	t.Run("orderly reboot", func(t *testing.T) {
		// A file that was never synced survives the reboot only if the system flushes and unmounts in order.
		_, err := run(client, "mkfs.ext4 -qF /dev/vda2; mount /dev/vda2 /mnt/dest; echo kept >/mnt/dest/file; reboot")
		if _, hungUp := errors.AsType[*ssh.ExitMissingError](err); err != nil && !hungUp {
			t.Fatal(err)
		}
		select {
		case <-m.ended: // -no-reboot makes a reboot the end of QEMU
		case <-time.After(20 * time.Second):
			t.Fatal("the machine did not reboot within 20 s")
		}
		m.expectLine("mini-OS ends")
		// The second partition begins where the first, 512 MiB from 1 MiB on, ends.
		at := fmt.Sprintf("%s?offset=%d", m.disk, 513<<20)
		out, err := exec.Command("debugfs", "-R", "cat /file", at).Output()
		if err != nil || string(out) != "kept\n" {
			t.Errorf("file on the disk after the reboot: %q, %v", out, err)
		}
	})
}
