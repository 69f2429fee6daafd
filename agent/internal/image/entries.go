package image

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"kadeploy/proto/image/posixacl"
)

// regular creates a file and hands its content to the writers.
func (x *extractor) regular(name string, h *tar.Header, a attrs, content io.Reader) error {
	parent, base, err := x.root.parent(name)
	if err != nil {
		return err
	}
	var fd int
	err = x.create(parent, name, func() (err error) {
		fd, err = unix.Openat(parent.fd, base,
			unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, a.mode&0o777)
		return err
	})
	if err != nil {
		return fmt.Errorf("create: %w", err)
	}
	f := &outFile{fd: fd, name: name, size: h.Size, attrs: a, sparse: isSparse(h)}
	f.have.owner = parent.plain
	f.have.mode = parent.plain && a.mode&(x.umask|0o7000) == 0 && a.uid == 0 && a.gid == 0
	if f.size <= batchBytes {
		return x.small(f, content)
	}
	return x.big(f, content)
}

func isSparse(h *tar.Header) bool {
	if h.Typeflag == tar.TypeGNUSparse {
		return true
	}
	for key := range maps.Keys(h.PAXRecords) {
		if strings.HasPrefix(key, "GNU.sparse.") {
			return true
		}
	}
	return false
}

// small puts a whole file into the batch that is being filled.
func (x *extractor) small(f *outFile, content io.Reader) error {
	if b := x.batch; b != nil && (len(b.pieces) == batchFiles || len(b.buf)+int(f.size) > cap(b.buf)) {
		x.out.whole <- b
		x.batch = nil
	}
	if x.batch == nil {
		b, err := x.out.take()
		if err != nil {
			unix.Close(f.fd)
			return err
		}
		x.batch = b
	}
	b := x.batch
	at := len(b.buf)
	b.buf = b.buf[:at+int(f.size)]
	if err := readContent(content, b.buf[at:]); err != nil {
		unix.Close(f.fd)
		return err
	}
	b.pieces = append(b.pieces, piece{file: f, data: b.buf[at:], last: true})
	return nil
}

// big hands over a file piece by piece while its content arrives.
func (x *extractor) big(f *outFile, content io.Reader) error {
	for off := int64(0); off < f.size; {
		b, err := x.out.take()
		if err == nil {
			b.buf = b.buf[:min(f.size-off, batchBytes)]
			err = readContent(content, b.buf)
		}
		if err != nil {
			x.abandon(f, b, err)
			return err
		}
		end := off + int64(len(b.buf))
		b.pieces = append(b.pieces, piece{file: f, data: b.buf, off: off, last: end == f.size})
		x.out.stream <- b
		off = end
	}
	return nil
}

// abandon fails the extraction, and has the writer, which may still hold
// earlier pieces, close a file that will not be completed.
func (x *extractor) abandon(f *outFile, b *batch, cause error) {
	x.out.fail(fmt.Errorf("extract %s: %w", f.name, cause))
	if b == nil {
		b = &batch{}
	}
	b.pieces = append(b.pieces, piece{file: f, last: true})
	x.out.stream <- b
}

func readContent(content io.Reader, p []byte) error {
	_, err := io.ReadFull(content, p)
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return fmt.Errorf("the archive is truncated: %w", io.ErrUnexpectedEOF)
	}
	return err
}

// flush hands over the last batch.
func (x *extractor) flush() {
	if x.batch != nil {
		x.out.whole <- x.batch
		x.batch = nil
	}
}

// directory makes a directory, or keeps the one that is there. Its attributes
// are set at the end: what is put into it would change its time.
func (x *extractor) directory(name string, a attrs) error {
	x.later = append(x.later, pending{name: name, isDir: true, attrs: a})
	if name == "." {
		return nil
	}
	parent, base, err := x.root.parent(name)
	if err != nil {
		return err
	}
	err = unix.Mkdirat(parent.fd, base, a.mode&0o777|0o700)
	if err != unix.EEXIST {
		return annotate("make directory", err)
	}
	var st unix.Stat_t
	if err := unix.Fstatat(parent.fd, base, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return fmt.Errorf("examine: %w", err)
	}
	if st.Mode&unix.S_IFMT == unix.S_IFDIR {
		return nil
	}
	if err := x.replace(parent, name); err != nil {
		return err
	}
	return annotate("make directory", unix.Mkdirat(parent.fd, base, a.mode&0o777|0o700))
}

// hardLink gives an existing file another name.
func (x *extractor) hardLink(name, target string) error {
	target, err := cleanName(target)
	if err != nil {
		return fmt.Errorf("link to %s: %w", target, err)
	}
	from, fromBase, err := x.root.parent(target)
	if err != nil {
		return err
	}
	parent, base, err := x.root.parent(name)
	if err != nil {
		return err
	}
	link := func() error { return unix.Linkat(from.fd, fromBase, parent.fd, base, 0) }
	if err := link(); err != unix.EEXIST {
		return annotate("link to "+target, err)
	}
	var have, want unix.Stat_t
	if err := unix.Fstatat(from.fd, fromBase, &want, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return fmt.Errorf("link to %s: %w", target, err)
	}
	if err := unix.Fstatat(parent.fd, base, &have, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return fmt.Errorf("link to %s: %w", target, err)
	}
	if have.Dev == want.Dev && have.Ino == want.Ino {
		return nil // already the same file, perhaps by its very name
	}
	if err := x.replace(parent, name); err != nil {
		return err
	}
	err = link()
	return annotate("link to "+target, err)
}

// special makes what has no content: symbolic links, devices, FIFOs.
func (x *extractor) special(name string, h *tar.Header, a attrs) error {
	parent, base, err := x.root.parent(name)
	if err != nil {
		return err
	}
	err = x.create(parent, name, func() error {
		switch h.Typeflag {
		case tar.TypeSymlink:
			return unix.Symlinkat(h.Linkname, parent.fd, base)
		case tar.TypeFifo:
			return unix.Mknodat(parent.fd, base, unix.S_IFIFO|a.mode&0o777, 0)
		}
		kind := uint32(unix.S_IFBLK)
		if h.Typeflag == tar.TypeChar {
			kind = unix.S_IFCHR
		}
		dev := unix.Mkdev(uint32(h.Devmajor), uint32(h.Devminor))
		return unix.Mknodat(parent.fd, base, kind|a.mode&0o777, int(dev))
	})
	if err != nil {
		return fmt.Errorf("create: %w", err)
	}
	return a.applyAt(parent, base, h.Typeflag == tar.TypeSymlink)
}

// create makes a name, after removing what is there: the last entry wins.
func (x *extractor) create(parent *dir, name string, make func() error) error {
	err := make()
	if err != unix.EEXIST {
		return err
	}
	if err := x.replace(parent, name); err != nil {
		return err
	}
	return make()
}

// replace removes what an earlier entry, or somebody before, put at name.
func (x *extractor) replace(parent *dir, name string) error {
	if x.named {
		x.later = slices.DeleteFunc(x.later, func(p pending) bool { return p.name == name && !p.isDir })
	}
	return x.root.remove(parent, path.Base(name))
}

// settle sets the attributes of directories, and the ACLs that name users of
// the extracted system.
func (x *extractor) settle() error {
	var ids *names
	for _, p := range x.later {
		if err := x.ctx.Err(); err != nil {
			return err
		}
		for _, acl := range p.attrs.acls {
			if ids == nil {
				ids = readNames(x.root)
			}
			value, err := posixacl.Encode(acl.text, ids.id)
			if err != nil {
				return fmt.Errorf("extract %s: %w (in etc/passwd and etc/group of the image)", p.name, err)
			}
			p.attrs.xattrs = append(slices.Clip(p.attrs.xattrs), xattr{acl.xattr, value})
		}
		if err := x.settleOne(p); err != nil {
			return fmt.Errorf("extract %s: %w", p.name, err)
		}
	}
	return nil
}

func (x *extractor) settleOne(p pending) error {
	x.root.trim()
	if p.name == "." {
		return p.attrs.applyFd(x.root.fd, state{})
	}
	parent, err := x.root.existing(path.Dir(p.name))
	if isGone(err) {
		return nil
	}
	if err != nil {
		return err
	}
	base := path.Base(p.name)
	if !p.isDir {
		return p.attrs.setXattrsAt(parent, base)
	}
	fd, err := unix.Openat(parent.fd, base, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if isGone(err) {
		return nil
	}
	if err != nil {
		return &fs.PathError{Op: "open directory", Path: p.name, Err: err}
	}
	defer unix.Close(fd)
	return p.attrs.applyFd(fd, state{})
}

// isGone reports that a directory made before is none any more: a later entry
// took its name, and is none or has a pending of its own.
func isGone(err error) bool {
	return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP)
}

func annotate(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", what, err)
}
