package rootfs

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"kadeploy/agent/internal/inroot"
	"kadeploy/agent/internal/mountinfo"
)

// efivarfs holds the firmware's variables, on a machine that booted by UEFI.
const efivarfs = "/sys/firmware/efi/efivars"

// resolvConf says who translates names.
const resolvConf = "/etc/resolv.conf"

// enterOrder is what a system needs for programs to run inside of it (chroot), in
// the order in which it is mounted.
var enterOrder = []Mount{
	{Source: "/dev", Point: "/dev", Bind: true},
	{Source: "devpts", Point: "/dev/pts", Filesystem: "devpts", Options: "gid=5,mode=620"},
	{Source: "proc", Point: "/proc", Filesystem: "proc"},
	{Source: "sysfs", Point: "/sys", Filesystem: "sysfs"},
	{Source: "efivarfs", Point: efivarfs, Filesystem: "efivarfs"},
	{Source: "tmpfs", Point: "/run", Filesystem: "tmpfs", Options: "mode=755"},
}

// Enter prepares a mounted system for programs that run inside of it: /dev,
// /proc, /sys, the firmware's variables and /run; with names, also the node's own
// /etc/resolv.conf, so that names are translated as they are on the node. What a
// script has mounted at one of these places is used as it is, and left there. The
// undo takes down what Enter mounted, last first, and what else came to be mounted
// below it meanwhile. After an error nothing is left mounted.
func Enter(root string, names bool) (undo func() error, err error) {
	var done []func() error
	undo = func() error {
		var errs []error
		for _, one := range slices.Backward(done) {
			errs = append(errs, one())
		}
		done = nil
		return errors.Join(errs...)
	}
	for _, m := range enterOrder {
		if _, err := os.Stat(m.Point); err != nil && m.Filesystem == "efivarfs" {
			continue // booted by BIOS
		}
		m.Point = Inside(root, m.Point)
		if there, err := mountedAt(m.Point); there || err != nil {
			if err != nil {
				return nil, errors.Join(err, undo())
			}
			continue
		}
		if err := m.Do(); err != nil {
			if m.Filesystem == "efivarfs" {
				continue // a firmware without variables at run time
			}
			return nil, errors.Join(fmt.Errorf("enter the system below %s: %w", root, err), undo())
		}
		done = append(done, func() error { return unmountSoon(m.Point) })
	}
	if names {
		back, err := lendNames(root)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("enter the system below %s: %w", root, err), undo())
		}
		done = append(done, back)
	}
	return undo, nil
}

func mountedAt(point string) (bool, error) {
	mounts, err := mountinfo.Read()
	return slices.ContainsFunc(mounts, func(m mountinfo.Mount) bool { return m.Point == point }), err
}

func unmountSoon(point string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*busyFor)
	defer cancel()
	return Unmount(ctx, point)
}

// lendNames puts the node's resolv.conf over the system's. A system without that
// file, or with a link that leads nowhere, is left as it is: nothing of it is changed.
func lendNames(root string) (back func() error, err error) {
	nothing := func() error { return nil }
	if info, err := os.Stat(resolvConf); err != nil || info.Size() == 0 {
		return nothing, nil
	}
	inside, err := inroot.Resolve(root, resolvConf)
	if err != nil {
		return nothing, nil
	}
	point := Inside(root, inside)
	if err := unix.Mount(resolvConf, point, "", unix.MS_BIND, ""); err != nil {
		return nil, fmt.Errorf("mount %s on %s: %w", resolvConf, point, err)
	}
	return func() error { return unmountSoon(point) }, nil
}
