package initsys

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// modulesList names the modules to load before udev looks for devices, one a line.
const modulesList = "/etc/modules"

// earlyModules loads what modulesList names. With the drivers of the network and
// the disks in it, the link comes up while udev still goes through the devices.
func (s *system) earlyModules(ctx context.Context) error {
	text, err := os.ReadFile(modulesList)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	names := parseModules(string(text))
	if len(names) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	return s.children.run(ctx, "/sbin/modprobe", append([]string{"-a", "-q", "-b"}, names...)...)
}

// parseModules reads modules(5) of kmod: a name a line, # and ; begin comments.
func parseModules(text string) []string {
	var names []string
	for lines := bufio.NewScanner(strings.NewReader(text)); lines.Scan(); {
		name := strings.TrimSpace(lines.Text())
		if name != "" && name[0] != '#' && name[0] != ';' {
			names = append(names, name)
		}
	}
	return names
}

// coldplug starts udev and has it handle every device that is there already: modules by alias, links in /dev/disk.
func (s *system) coldplug(ctx context.Context) error {
	s.spawn("udev", func() { s.children.keep(ctx, Program{Path: "/lib/systemd/systemd-udevd", Name: "udevd"}) })
	limited, cancel := context.WithTimeout(ctx, time.Minute) // not ctx: udevd stays
	defer cancel()
	if err := waitFor(limited, func() bool {
		_, err := os.Stat("/run/udev/control")
		return err == nil
	}); err != nil {
		return fmt.Errorf("wait for udevd: %w", err)
	}
	// "trigger --settle" waits for the very events that it caused; "settle" alone can
	// look before udevd has seen them (its ping is dropped when it arrives early).
	// Events that drivers cause in their turn are in udevd's queue by then.
	for _, args := range [][]string{
		{"trigger", "--type=subsystems", "--action=add"},
		{"trigger", "--type=devices", "--action=add", "--settle"},
		{"settle", "--timeout=50"},
	} {
		if err := s.children.run(limited, "/bin/udevadm", args...); err != nil {
			return err
		}
	}
	return efivars.mount()
}

// requireDisk waits for the disk without which the node is of no use.
func requireDisk(ctx context.Context, disk string, limit time.Duration) error {
	if !filepath.IsAbs(disk) {
		disk = filepath.Join("/dev", disk)
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	if err := waitFor(ctx, func() bool {
		info, err := os.Stat(disk)
		return err == nil && info.Mode().Type() == fs.ModeDevice
	}); err != nil {
		return fmt.Errorf("disk %s, named by DISK_DEV, did not appear within %s", disk, limit)
	}
	return nil
}

// waitFor asks again and again, for what the kernel cannot announce.
func waitFor(ctx context.Context, done func() bool) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}
