package initsys

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

type mount struct {
	source, target, kind string
	flags                uintptr
	options              string
	optional             bool // what is not there is not mounted
}

var mounts = [...]mount{
	{source: "devtmpfs", target: "/dev", kind: "devtmpfs", flags: unix.MS_NOSUID, options: "mode=0755"},
	{source: "proc", target: "/proc", kind: "proc", flags: unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC},
	{source: "sysfs", target: "/sys", kind: "sysfs", flags: unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC},
	{source: "devpts", target: "/dev/pts", kind: "devpts", flags: unix.MS_NOSUID | unix.MS_NOEXEC, options: "mode=0620,gid=5,ptmxmode=0666"},
	{source: "tmpfs", target: "/dev/shm", kind: "tmpfs", flags: unix.MS_NOSUID | unix.MS_NODEV, options: "mode=1777"},
	{source: "tmpfs", target: "/run", kind: "tmpfs", flags: unix.MS_NOSUID | unix.MS_NODEV, options: "mode=0755"},
	{source: "tmpfs", target: "/tmp", kind: "tmpfs", flags: unix.MS_NOSUID | unix.MS_NODEV, options: "mode=1777"},
}

// efivars is mounted after the drivers: efivarfs may be a module.
var efivars = mount{source: "efivarfs", target: "/sys/firmware/efi/efivars", kind: "efivarfs",
	flags: unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC, optional: true}

// devices that programs expect in /dev and that devtmpfs does not make.
var deviceLinks = [...][2]string{
	{"/proc/self/fd", "/dev/fd"},
	{"/proc/self/fd/0", "/dev/stdin"},
	{"/proc/self/fd/1", "/dev/stdout"},
	{"/proc/self/fd/2", "/dev/stderr"},
}

// mountAll mounts what a system is expected to have. It does what it can and returns all that failed.
func mountAll() error {
	var failures []error
	for _, m := range mounts {
		failures = append(failures, m.mount())
	}
	for _, link := range deviceLinks {
		if err := os.Symlink(link[0], link[1]); err != nil && !errors.Is(err, os.ErrExist) {
			failures = append(failures, err)
		}
	}
	for _, dir := range []string{"/run/lock", "/run/sshd", "/rambin", "/mnt/dest", "/mnt/tmp"} {
		failures = append(failures, os.MkdirAll(dir, 0o755))
	}
	return errors.Join(failures...)
}

func (m mount) mount() error {
	if m.optional {
		if _, err := os.Stat(m.target); err != nil {
			return nil
		}
	} else if err := os.MkdirAll(m.target, 0o755); err != nil {
		return err
	}
	// Busy means that it is mounted there already: nothing is left to do.
	if err := unix.Mount(m.source, m.target, m.kind, m.flags, m.options); err != nil && !errors.Is(err, unix.EBUSY) {
		return fmt.Errorf("mount %s on %s: %w", m.kind, m.target, err)
	}
	return nil
}
