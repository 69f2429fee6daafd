package imagebench

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// diskSize is that of the loop device, in bytes; its file is sparse.
const diskSize = 10 << 30

// loop is a loop device that is formatted anew for each run.
type loop struct {
	file, device, mount string
	mounted             bool
}

func newDisk(ctx context.Context, dir string) (*loop, error) {
	d := &loop{file: filepath.Join(dir, "disk.img"), mount: filepath.Join(dir, "mnt")}
	if err := os.MkdirAll(d.mount, 0o755); err != nil {
		return nil, err
	}
	f, err := os.Create(d.file)
	if err != nil {
		return nil, err
	}
	if err := f.Truncate(diskSize); err != nil {
		return nil, err
	}
	if err := f.Close(); err != nil {
		return nil, err
	}
	out, err := output(ctx, "losetup", "--show", "-f", d.file)
	if err != nil {
		return nil, fmt.Errorf("the benchmark needs a loop device, and root: %w", err)
	}
	d.device = strings.TrimSpace(out)
	return d, nil
}

// empty returns the target of the next run: the device with nothing on it, or the
// root of an empty ext4 on it. Nothing of the run before is still to be written.
func (d *loop) empty(ctx context.Context, device bool) (string, error) {
	if err := d.unmount(ctx); err != nil {
		return "", err
	}
	if _, err := output(ctx, "blkdiscard", d.device); err != nil {
		return "", err
	}
	if device {
		_, err := output(ctx, "sync", d.file)
		return d.device, err
	}
	if _, err := output(ctx, "mkfs.ext4", "-q", "-F", d.device); err != nil {
		return "", err
	}
	// Without noinit_itable the kernel would write inode tables during the run.
	if _, err := output(ctx, "mount", "-o", "noinit_itable", d.device, d.mount); err != nil {
		return "", err
	}
	d.mounted = true
	_, err := output(ctx, "sync", "-f", d.file, d.mount)
	return d.mount, err
}

func (d *loop) unmount(ctx context.Context) error {
	if !d.mounted {
		return nil
	}
	d.mounted = false
	_, err := output(ctx, "umount", d.mount)
	return err
}

// close takes the disk away, also after ctx has ended.
func (d *loop) close() {
	ctx := context.Background()
	_ = d.unmount(ctx)
	_, _ = output(ctx, "losetup", "-d", d.device)
	os.Remove(d.file)
	os.Remove(d.mount)
}

func output(ctx context.Context, name string, args ...string) (string, error) {
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return string(out), nil
}
