// Package blockroot is what a node does around the blocks of a root file system
// that are written to its disk: it makes the device free before, and afterwards
// grows the file system to the device, gives it a UUID and a label of its own,
// checks it, and mounts it where it was mounted. After a failure it leaves a new
// and empty file system there, into which an archive can be extracted. The blocks
// themselves are package image's.
package blockroot

import (
	"context"
	"fmt"
	"time"

	"kadeploy/agent/internal/command"
	"kadeploy/agent/internal/disk"
	"kadeploy/agent/internal/fault"
	"kadeploy/agent/internal/mountinfo"
	"kadeploy/agent/internal/rootfs"
)

// Root is the file system to replace.
type Root struct {
	Target    disk.Target
	Point     string   // where it is mounted, and will be again
	Options   string   // of mounting
	Label     string   // of the new one; empty: as it was made
	Arguments []string // of mkfs, for the empty file system after a failure
}

// filesystem is the only kind of which blocks are sent.
const filesystem = "ext4"

// Work is one replacement.
type Work struct {
	root   Root
	host   *disk.Host
	device disk.Device
	mine   bool // the device's old content is gone, or may be
}

// New looks whether the file system can be replaced: nothing else may be mounted
// there or below.
func New(host *disk.Host, root Root) (*Work, error) {
	device, err := host.Resolve(root.Target)
	if err != nil {
		return nil, err
	}
	mounts, err := mountinfo.Read()
	if err != nil {
		return nil, err
	}
	for _, m := range mountinfo.Below(mounts, root.Point) {
		if m.Point != root.Point || m.Source != device.Path {
			return nil, fault.Preconditionf("%s is mounted on %s: the blocks of a root file system can be written only if nothing but %s is mounted on %s and below; deploy with --no-prepare",
				m.Source, m.Point, device.Path, root.Point)
		}
	}
	return &Work{root: root, host: host, device: device}, nil
}

// Device is the path of the device that is written.
func (w *Work) Device() string { return w.device.Path }

// Begin makes the device free for a file system of size bytes. A device that is
// too small is refused before anything is touched.
func (w *Work) Begin(ctx context.Context, size int64) error {
	if size < 0 || uint64(size) > w.device.Size {
		return fault.Preconditionf("the image needs a file system of %d bytes and %s has %d: choose a larger partition", size, w.device.Path, w.device.Size)
	}
	w.mine = true
	if err := rootfs.Unmount(ctx, w.root.Point); err != nil {
		return err
	}
	_, err := command.Output(ctx, "wipefs", "--all", "--quiet", w.device.Path)
	return err
}

// Finish makes what was written the node's own file system. It was checked when it
// was made, so that it may be grown at once; it is checked as a whole at the end,
// which reads from the disk what was written around the page cache.
func (w *Work) Finish(ctx context.Context) error {
	device := w.device.Path
	if _, err := command.Output(ctx, "resize2fs", device); err != nil {
		return fmt.Errorf("grow the file system to %s: %w", device, err)
	}
	tune := []string{"-U", "random"}
	if w.root.Label != "" {
		tune = append(tune, "-L", w.root.Label)
	}
	if _, err := command.Output(ctx, "tune2fs", append(tune, device)...); err != nil {
		return fmt.Errorf("give the file system of %s a UUID of its own: %w", device, err)
	}
	if _, err := command.Output(ctx, "e2fsck", "-f", "-n", device); err != nil {
		return fmt.Errorf("the file system written to %s is not right: %w", device, err)
	}
	return w.mount()
}

func (w *Work) mount() error {
	return rootfs.Mount{Source: w.device.Path, Point: w.root.Point, Filesystem: filesystem, Options: w.root.Options}.Do()
}

// undoTime bounds the clean-up, which goes on when the call that failed is over.
const undoTime = time.Minute

// Undo leaves an empty file system, mounted, if the old one is gone.
func (w *Work) Undo() error {
	if !w.mine {
		return nil
	}
	w.mine = false
	ctx, cancel := context.WithTimeout(context.Background(), undoTime)
	defer cancel()
	if err := rootfs.Unmount(ctx, w.root.Point); err != nil {
		return err
	}
	_, _, err := w.host.Format(ctx, disk.Format{
		Target: w.root.Target, Filesystem: filesystem, Label: w.root.Label, Arguments: w.root.Arguments,
	})
	if err == nil {
		err = w.mount()
	}
	if err != nil {
		return fmt.Errorf("leave an empty file system on %s: %w", w.device.Path, err)
	}
	return nil
}
