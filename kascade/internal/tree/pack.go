// Package tree makes a tar stream of a directory on the fly, and extracts one safely below
// a directory while it arrives: owners (as numbers), modes, times, hard and symbolic links,
// devices, extended attributes, holes. It knows nothing of chains.
package tree

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Keys of PAX records (the first is star's and GNU tar's, the second our own: the file had
// holes, so a run of zeros may become one).
const (
	paxXattr  = "SCHILY.xattr."
	paxSparse = "KASCADE.sparse"
)

// Pack writes the directory dir as a tar archive; names in it are relative to dir. Sockets
// are left out, as is what vanishes meanwhile. A file that gets shorter while it is read
// is an error.
func Pack(ctx context.Context, w io.Writer, dir string) error {
	p := &packer{ctx: ctx, root: dir, tw: tar.NewWriter(w), links: map[inode]string{}, buf: make([]byte, 256<<10)}
	if err := filepath.WalkDir(dir, p.visit); err != nil {
		return fmt.Errorf("pack %s: %w", dir, err)
	}
	return p.tw.Close()
}

type packer struct {
	ctx   context.Context
	root  string
	tw    *tar.Writer
	links map[inode]string // names of files that have several
	buf   []byte
}

type inode struct{ dev, ino uint64 }

func (p *packer) visit(path string, _ fs.DirEntry, err error) error {
	if err == nil {
		err = p.ctx.Err()
	}
	if err == nil {
		err = p.entry(path)
	}
	if errors.Is(err, fs.ErrNotExist) && path != p.root {
		return nil
	}
	return err
}

func (p *packer) entry(path string) error {
	info, err := os.Lstat(path)
	if path == p.root && err == nil {
		info, err = os.Stat(path) // -i may be a link to a directory
	}
	if err != nil {
		return err
	}
	name, err := filepath.Rel(p.root, path)
	if err != nil {
		return err
	}
	if info.Mode()&fs.ModeSocket != 0 {
		return nil
	}
	h, err := p.header(path, name, info)
	if err != nil {
		return err
	}
	if h.Typeflag != tar.TypeReg {
		return p.tw.WriteHeader(h)
	}
	return p.regular(path, h)
}

// header says everything of an entry but its content.
func (p *packer) header(path, name string, info fs.FileInfo) (*tar.Header, error) {
	target := ""
	if info.Mode()&fs.ModeSymlink != 0 {
		var err error
		if target, err = os.Readlink(path); err != nil {
			return nil, err
		}
	}
	h, err := tar.FileInfoHeader(info, target)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	st := info.Sys().(*syscall.Stat_t)
	h.Name, h.Format = name, tar.FormatPAX
	h.Uname, h.Gname, h.AccessTime, h.ChangeTime = "", "", time.Time{}, time.Time{} // numbers only: names differ from host to host
	h.PAXRecords = map[string]string{}
	if st.Nlink > 1 && !info.IsDir() {
		id := inode{uint64(st.Dev), st.Ino}
		if first, seen := p.links[id]; seen {
			h.Typeflag, h.Linkname, h.Size = tar.TypeLink, first, 0
			return h, nil
		}
		p.links[id] = name
	}
	if info.Mode().IsRegular() && st.Blocks*512 < st.Size {
		h.PAXRecords[paxSparse] = "1"
	}
	return h, addXattrs(path, h)
}

// addXattrs takes the extended attributes that mean the same on another host.
func addXattrs(path string, h *tar.Header) error {
	list := make([]byte, 64<<10)
	n, err := unix.Llistxattr(path, list)
	if err == unix.ENOTSUP || err == unix.EPERM {
		return nil
	}
	if err != nil {
		return &fs.PathError{Op: "list extended attributes of", Path: path, Err: err}
	}
	for name := range strings.SplitSeq(strings.TrimRight(string(list[:n]), "\x00"), "\x00") {
		if !strings.HasPrefix(name, "user.") && name != "security.capability" && !strings.HasPrefix(name, "system.posix_acl_") {
			continue
		}
		value := make([]byte, 64<<10)
		n, err := unix.Lgetxattr(path, name, value)
		if err == unix.ENODATA {
			continue
		}
		if err != nil {
			return &fs.PathError{Op: "read extended attribute " + name + " of", Path: path, Err: err}
		}
		h.PAXRecords[paxXattr+name] = string(value[:n])
	}
	return nil
}

// regular writes a file with its content, as long as it was when it was met.
func (p *packer) regular(path string, h *tar.Header) error {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := p.tw.WriteHeader(h); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	n, err := io.CopyBuffer(struct{ io.Writer }{p.tw}, struct{ io.Reader }{io.LimitReader(f, h.Size)}, p.buf)
	if err == nil && n < h.Size {
		err = fmt.Errorf("%s got shorter while it was read: %d bytes instead of %d", path, n, h.Size)
	}
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("%s vanished while it was read", path) // its header is written: not to be left out
	}
	return err
}
