// Package rootfs mounts the file systems of the system that is being deployed, and
// takes them down again: last mounted first, after their data are on the disk. It
// neither partitions nor formats.
package rootfs

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"kadeploy/agent/internal/fault"
	"kadeploy/agent/internal/inroot"
	"kadeploy/agent/internal/mountinfo"
)

// Mount is a file system to mount.
type Mount struct {
	Source     string // /dev/vda3, tmpfs, or a directory to bind
	Point      string // absolute, clean; made if it is not there
	Filesystem string
	Options    string // comma separated, as mount(8) has them
	Bind       bool
}

// flags are the options that are bits of mount(2) rather than words for the file system.
var flags = map[string]uintptr{
	"ro": unix.MS_RDONLY, "noatime": unix.MS_NOATIME, "nodiratime": unix.MS_NODIRATIME, "relatime": unix.MS_RELATIME,
	"nosuid": unix.MS_NOSUID, "nodev": unix.MS_NODEV, "noexec": unix.MS_NOEXEC, "sync": unix.MS_SYNCHRONOUS,
	"rw": 0, "defaults": 0,
}

// Do mounts. What is mounted there already from the same source is left as it is.
func (m Mount) Do() error {
	_, err := m.do()
	return err
}

// do mounts, and tells whether it had to.
func (m Mount) do() (mounted bool, err error) {
	if !filepath.IsAbs(m.Point) || m.Point != filepath.Clean(m.Point) || m.Point == "/" {
		return false, fault.Invalidf("mount %s on %q: not an absolute directory below /", m.Source, m.Point)
	}
	mounts, err := mountinfo.Read()
	if err != nil {
		return false, err
	}
	for _, other := range slices.Backward(mounts) {
		if other.Point != m.Point {
			continue
		}
		if other.Source == m.Source && !m.Bind {
			return false, nil
		}
		return false, fault.Preconditionf("mount %s on %s: %s is mounted there: unmount it first", m.Source, m.Point, other.Source)
	}
	if err := os.MkdirAll(m.Point, 0o755); err != nil {
		return false, fmt.Errorf("mount %s: %w", m.Source, err)
	}
	bits, words := uintptr(0), []string{}
	for _, o := range strings.FieldsFunc(m.Options, func(r rune) bool { return r == ',' || r == ' ' }) {
		if bit, known := flags[o]; known {
			bits |= bit
		} else {
			words = append(words, o)
		}
	}
	if m.Bind {
		bits |= unix.MS_BIND
	}
	if err := unix.Mount(m.Source, m.Point, m.Filesystem, bits, strings.Join(words, ",")); err != nil {
		return false, fmt.Errorf("mount %s on %s (%s): %w", m.Source, m.Point, m.Filesystem, err)
	}
	return true, nil
}

// Inner is a file system that is mounted inside of another one.
type Inner struct {
	Mount        // its Point is set when it is mounted
	Path  string // as the system that is deployed sees it
}

// MountAll mounts a root and, in their order, others inside of it. After a failure
// nothing is mounted that was not before.
func MountAll(root Mount, inner ...Inner) (err error) {
	var done []string
	defer func() {
		if err == nil {
			return
		}
		ctx, cancel := context.WithTimeout(context.Background(), 2*busyFor)
		defer cancel()
		for _, point := range slices.Backward(done) {
			err = errors.Join(err, Unmount(ctx, point))
		}
	}()
	mounted, err := root.do()
	if err != nil {
		return err
	}
	if mounted {
		done = append(done, root.Point)
	}
	for _, m := range inner {
		path, err := makeInside(root.Point, filepath.Clean("/"+m.Path))
		if err != nil {
			return fmt.Errorf("mount %s on %s: %w", m.Source, m.Path, err)
		}
		m.Point = filepath.Join(root.Point, path)
		mounted, err := m.do()
		if err != nil {
			return err
		}
		if mounted {
			done = append(done, m.Point)
		}
	}
	return nil
}

// makeInside makes a directory, and those above it, inside of a root: links are
// followed inside of it, so that none leads out. It returns where the directory is.
func makeInside(root, path string) (string, error) {
	resolved, err := inroot.Resolve(root, path)
	if err == nil || !errors.Is(err, os.ErrNotExist) || path == "/" {
		return resolved, err
	}
	parent, err := makeInside(root, filepath.Dir(path))
	if err != nil {
		return "", err
	}
	made := filepath.Join(parent, filepath.Base(path))
	return made, os.Mkdir(filepath.Join(root, made), 0o755)
}

// busyFor is how long a file system may be busy before it is detached instead:
// a program that a script left behind lets go of it when it ends.
const busyFor = 3 * time.Second

// Unmount unmounts all that is mounted at dir and below it, last mounted first,
// after it was written to the disk. Nothing being mounted there is not an error.
func Unmount(ctx context.Context, dir string) error {
	dir = filepath.Clean(dir)
	if !filepath.IsAbs(dir) || dir == "/" {
		return fault.Invalidf("unmount %q: not an absolute directory below /", dir)
	}
	mounts, err := mountinfo.Read()
	if err != nil {
		return err
	}
	var errs []error
	for _, m := range slices.Backward(mountinfo.Below(mounts, dir)) {
		errs = append(errs, flush(m), detach(ctx, m))
	}
	return errors.Join(errs...)
}

// flush writes a file system to its device; that is where a failing disk says so.
func flush(m mountinfo.Mount) error {
	if !strings.HasPrefix(m.Source, "/dev/") {
		return nil
	}
	f, err := os.Open(m.Point)
	if err != nil {
		return fmt.Errorf("flush %s: %w", m.Source, err)
	}
	defer f.Close()
	if err := unix.Syncfs(int(f.Fd())); err != nil {
		return fmt.Errorf("write %s, mounted on %s, to the disk: %w", m.Source, m.Point, err)
	}
	return nil
}

func detach(ctx context.Context, m mountinfo.Mount) error {
	give := time.Now().Add(busyFor)
	for {
		err := unix.Unmount(m.Point, 0)
		switch {
		case err == nil || err == unix.EINVAL: // EINVAL: gone meanwhile
			return nil
		case err != unix.EBUSY:
			return fmt.Errorf("unmount %s: %w", m.Point, err)
		case time.Now().After(give):
			// Its data are on the disk; the last user ends it.
			if err := unix.Unmount(m.Point, unix.MNT_DETACH); err != nil {
				return fmt.Errorf("unmount %s, which is busy: %w", m.Point, err)
			}
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("unmount %s: it is busy: %w", m.Point, ctx.Err())
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// Inside is where a path of a mounted system really is: its links, absolute ones
// too, are followed inside of the system. A path that is not there stays as it is.
func Inside(root, path string) string {
	if resolved, err := inroot.Resolve(root, path); err == nil {
		path = resolved
	}
	return filepath.Join(root, path)
}
