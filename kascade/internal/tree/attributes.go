package tree

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// attributes sets owner, extended attributes, mode and time of an open file or directory,
// in an order in which none undoes another.
func (x *extractor) attributes(f *os.File, h *tar.Header) error {
	fd := int(f.Fd())
	if x.owners {
		if err := unix.Fchown(fd, h.Uid, h.Gid); err != nil {
			return fmt.Errorf("set the owner: %w", err)
		}
	}
	if err := unix.Fchmod(fd, uint32(h.Mode&0o7777)); err != nil {
		return fmt.Errorf("set the mode: %w", err)
	}
	for key, value := range h.PAXRecords {
		name, ok := strings.CutPrefix(key, paxXattr)
		if !ok {
			continue
		}
		err := unix.Fsetxattr(fd, name, []byte(value), 0)
		if err != nil && (x.owners || err != unix.EPERM && err != unix.ENOTSUP) {
			return fmt.Errorf("set the extended attribute %s: %w", name, err)
		}
	}
	if err := unix.UtimesNanoAt(fd, "", times(h), unix.AT_EMPTY_PATH); err != nil {
		return fmt.Errorf("set the time: %w", err)
	}
	return nil
}

func times(h *tar.Header) []unix.Timespec {
	return []unix.Timespec{{Nsec: unix.UTIME_NOW}, {Sec: h.ModTime.Unix(), Nsec: int64(h.ModTime.Nanosecond())}}
}

// finish sets what directories are like, the deepest first, and makes everything durable.
func (x *extractor) finish() error {
	x.leave()
	for _, h := range slices.Backward(x.dirs) {
		if err := x.settle(h); err != nil {
			return fmt.Errorf("%s: %w", h.Name, err)
		}
	}
	d, err := x.root.Open(".")
	if err != nil {
		return err
	}
	defer d.Close()
	if err := unix.Syncfs(int(d.Fd())); err != nil {
		return fmt.Errorf("write to the disk: %w", err)
	}
	return nil
}

func (x *extractor) settle(h *tar.Header) error {
	name := path.Clean(h.Name)
	if info, err := x.root.Lstat(name); err != nil || !info.IsDir() {
		return nil // replaced by a later entry
	}
	d, err := x.root.Open(name)
	if err != nil {
		return err
	}
	defer d.Close()
	return x.attributes(d, h)
}

// holes writes a file and leaves out blocks of zeros.
type holes struct{ f *os.File }

const block = 4096

var zeros [block]byte

func (w *holes) Write(b []byte) (int, error) {
	for rest := b; len(rest) > 0; {
		n := min(block, len(rest))
		var err error
		if bytes.Equal(rest[:n], zeros[:n]) {
			_, err = w.f.Seek(int64(n), io.SeekCurrent)
		} else {
			_, err = w.f.Write(rest[:n])
		}
		if err != nil {
			return len(b) - len(rest), err
		}
		rest = rest[n:]
	}
	return len(b), nil
}
