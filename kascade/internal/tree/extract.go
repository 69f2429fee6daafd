package tree

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Extract puts a tar archive below dir, which is made if it does not exist. It reads r to
// its end. Nothing outside of dir is touched, whatever the archive or links in dir say.
// What stands in the way is replaced, but a directory that is not empty; other files in
// dir stay. Owners are set if the process may do so, which is root.
func Extract(r io.Reader, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	x := &extractor{root: root, owners: os.Geteuid() == 0, buf: make([]byte, 256<<10)}
	defer x.leave()
	if err := x.run(tar.NewReader(r)); err != nil {
		return fmt.Errorf("extract into %s: %w", dir, err)
	}
	// What follows the archive's end is padding.
	if _, err := io.Copy(io.Discard, r); err != nil {
		return err
	}
	return x.finish()
}

type extractor struct {
	root   *os.Root
	owners bool
	buf    []byte
	// The directory of the last entry stays open: most entries follow one of the same.
	dir  *os.File
	name string
	dirs []*tar.Header // whose modes and times are set when nothing changes below them any more
}

func (x *extractor) run(tr *tar.Reader) error {
	for n := 0; ; n++ {
		h, err := tr.Next()
		switch {
		case err == io.EOF && n > 0:
			return nil
		case err == io.EOF, errors.Is(err, tar.ErrHeader):
			return errors.New("what came is no tar archive; give -o DIR/NAME to write a file")
		case err != nil && !errors.Is(err, tar.ErrInsecurePath):
			return err
		}
		if err := x.entry(h, tr); err != nil {
			return fmt.Errorf("%s: %w", h.Name, err)
		}
	}
}

// entry makes one entry.
func (x *extractor) entry(h *tar.Header, content io.Reader) error {
	name, err := localName(h.Name)
	if err != nil {
		return err
	}
	if name == "." {
		if h.Typeflag != tar.TypeDir {
			return errors.New("the root of the archive is no directory")
		}
		return x.later(h)
	}
	parent, err := x.enter(path.Dir(name))
	if err != nil {
		return err
	}
	base := path.Base(name)
	switch h.Typeflag {
	case tar.TypeDir:
		return x.directory(parent, base, h)
	case tar.TypeReg, tar.TypeGNUSparse:
		return x.regular(parent, base, h, content)
	case tar.TypeLink:
		return x.link(parent, base, h, name)
	case tar.TypeSymlink:
		return x.special(parent, base, h, func(fd int) error { return unix.Symlinkat(h.Linkname, fd, base) })
	case tar.TypeFifo, tar.TypeChar, tar.TypeBlock:
		kind := map[byte]uint32{tar.TypeFifo: unix.S_IFIFO, tar.TypeChar: unix.S_IFCHR, tar.TypeBlock: unix.S_IFBLK}[h.Typeflag]
		dev := unix.Mkdev(uint32(h.Devmajor), uint32(h.Devminor))
		return x.special(parent, base, h, func(fd int) error { return unix.Mknodat(fd, base, kind|0o600, int(dev)) })
	case tar.TypeXGlobalHeader:
		return nil
	}
	return fmt.Errorf("unknown type %q of an entry", h.Typeflag)
}

// localName is a name of the archive as a path below the root.
func localName(name string) (string, error) {
	clean := path.Clean(name)
	if !filepath.IsLocal(clean) || strings.ContainsRune(name, 0) {
		return "", errors.New("the name leads out of the directory")
	}
	return clean, nil
}

// enter opens the directory called name, which os.Root keeps below the root.
func (x *extractor) enter(name string) (*os.File, error) {
	if x.dir != nil && x.name == name {
		return x.dir, nil
	}
	x.leave()
	d, err := x.root.Open(name)
	if errors.Is(err, os.ErrNotExist) {
		if err = x.root.MkdirAll(name, 0o755); err == nil {
			d, err = x.root.Open(name)
		}
	}
	if err != nil {
		return nil, err
	}
	info, err := d.Stat()
	if err == nil && !info.IsDir() {
		err = fmt.Errorf("%s is no directory", name)
	}
	if err != nil {
		d.Close()
		return nil, err
	}
	x.dir, x.name = d, name
	return d, nil
}

func (x *extractor) leave() {
	if x.dir != nil {
		x.dir.Close()
		x.dir = nil
	}
}

// create makes a name, in the place of what has it.
func create(parent *os.File, base string, make func(fd int) error) error {
	fd := int(parent.Fd())
	err := make(fd)
	if err != unix.EEXIST {
		return err
	}
	err = unix.Unlinkat(fd, base, 0)
	if err == unix.EISDIR {
		err = unix.Unlinkat(fd, base, unix.AT_REMOVEDIR)
	}
	if err != nil {
		return fmt.Errorf("replace what is there: %w", err)
	}
	return make(fd)
}

// directory makes one, or takes the one that is there.
func (x *extractor) directory(parent *os.File, base string, h *tar.Header) error {
	fd := int(parent.Fd())
	var st unix.Stat_t
	if err := unix.Fstatat(fd, base, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil || st.Mode&unix.S_IFMT != unix.S_IFDIR {
		if err := create(parent, base, func(fd int) error { return unix.Mkdirat(fd, base, 0o700) }); err != nil {
			return err
		}
	} else if !x.owners { // root may write into it whatever its mode is
		if err := unix.Fchmodat(fd, base, st.Mode&0o777|0o700, 0); err != nil {
			return fmt.Errorf("make it writable: %w", err)
		}
	}
	return x.later(h)
}

// maxDirs bounds what an archive can make this process remember.
const maxDirs = 4 << 20

func (x *extractor) later(h *tar.Header) error {
	if len(x.dirs) == maxDirs {
		return fmt.Errorf("more than %d directories", maxDirs)
	}
	x.dirs = append(x.dirs, h)
	return nil
}

func (x *extractor) regular(parent *os.File, base string, h *tar.Header, content io.Reader) error {
	var f *os.File
	err := create(parent, base, func(dir int) error {
		fd, err := unix.Openat(dir, base, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
		if err == nil {
			f = os.NewFile(uintptr(fd), base)
		}
		return err
	})
	if err != nil {
		return err
	}
	defer f.Close()
	var to io.Writer = struct{ io.Writer }{f}
	if h.Typeflag == tar.TypeGNUSparse || h.PAXRecords[paxSparse] != "" || h.PAXRecords["GNU.sparse.major"] != "" {
		to = &holes{f: f}
	}
	if _, err := io.CopyBuffer(to, struct{ io.Reader }{content}, x.buf); err != nil {
		return err
	}
	if err := f.Truncate(h.Size); err != nil { // a hole may be the end
		return err
	}
	if err := x.attributes(f, h); err != nil {
		return err
	}
	return f.Close()
}

// link makes a hard link to what the archive brought before.
func (x *extractor) link(parent *os.File, base string, h *tar.Header, name string) error {
	target, err := localName(h.Linkname)
	if err != nil {
		return fmt.Errorf("link to %s: %w", h.Linkname, err)
	}
	return create(parent, base, func(int) error {
		err := x.root.Link(target, name)
		if errors.Is(err, os.ErrExist) {
			return unix.EEXIST
		}
		return err
	})
}

// special makes what is neither file nor directory.
func (x *extractor) special(parent *os.File, base string, h *tar.Header, make func(fd int) error) error {
	if err := create(parent, base, make); err != nil {
		return err
	}
	fd := int(parent.Fd())
	if x.owners {
		if err := unix.Fchownat(fd, base, h.Uid, h.Gid, unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return fmt.Errorf("set the owner: %w", err)
		}
	}
	if h.Typeflag != tar.TypeSymlink {
		// It was made a moment ago and is no link; who could put one there could do worse.
		if err := unix.Fchmodat(fd, base, uint32(h.Mode&0o7777), 0); err != nil {
			return fmt.Errorf("set the mode: %w", err)
		}
	}
	return unix.UtimesNanoAt(fd, base, times(h), unix.AT_SYMLINK_NOFOLLOW)
}
