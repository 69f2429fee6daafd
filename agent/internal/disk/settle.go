package disk

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"kadeploy/agent/internal/command"
)

// Limits of the wait for the kernel and udev after a change of partitions.
const (
	settleLimit = 15 * time.Second
	settlePoll  = 20 * time.Millisecond
)

// Reread has the kernel read the partition table of a disk again, and waits
// for udev: after a whole disk image was written.
func (h *Host) Reread(ctx context.Context, device string) error {
	f, err := os.OpenFile(device, os.O_RDONLY, 0)
	if err != nil {
		return fmt.Errorf("read the partition table again: %w", err)
	}
	defer f.Close()
	ctx, cancel := context.WithTimeout(ctx, settleLimit)
	defer cancel()
	for {
		err := unix.IoctlSetInt(int(f.Fd()), unix.BLKRRPART, 0)
		if err == nil {
			return h.settle(ctx, Disk{}, nil)
		}
		// udev looks at the old partitions when a writer closes the disk: that passes.
		if err != unix.EBUSY || ctx.Err() != nil {
			return fmt.Errorf("read the partition table of %s again: %w", device, err)
		}
		select {
		case <-time.After(settlePoll):
		case <-ctx.Done():
		}
	}
}

// settle waits until the kernel shows the partitions that were made, and their
// nodes, and udev's links to them if there is an udev, are there.
func (h *Host) settle(ctx context.Context, d Disk, parts []Made) error {
	ctx, cancel := context.WithTimeout(ctx, settleLimit)
	defer cancel()
	udev := h.hasUdev()
	if udev {
		if _, err := command.Output(ctx, "udevadm", "settle", fmt.Sprintf("--timeout=%d", int(settleLimit.Seconds()))); err != nil {
			return fmt.Errorf("wait for the new partitions: %w", err)
		}
	}
	for {
		missing := h.missing(d, parts, udev)
		if missing == "" {
			return nil
		}
		select {
		case <-time.After(settlePoll):
		case <-ctx.Done():
			return fmt.Errorf("wait for the new partitions: %s after %s: is udev running?", missing, settleLimit)
		}
	}
}

// hasUdev reports whether udevd runs: its control socket is there.
func (h *Host) hasUdev() bool {
	_, err := os.Stat("/run/udev/control")
	return err == nil
}

// missing says what of the partitions is not there yet.
func (h *Host) missing(d Disk, parts []Made, udev bool) string {
	for _, p := range parts {
		if h.number(d.Name, filepath.Base(p.Path), "size")*512 != p.Size {
			return p.Path + " is not known to the kernel"
		}
		info, err := os.Stat(p.Path)
		if err != nil || info.Mode()&os.ModeDevice == 0 {
			return "no node " + p.Path
		}
		if !udev || p.Label == "" {
			continue
		}
		if target, err := filepath.EvalSymlinks(h.labelLink(p.Label)); err != nil || target != p.Path {
			return fmt.Sprintf("no link %s to %s", h.labelLink(p.Label), p.Path)
		}
	}
	return ""
}
