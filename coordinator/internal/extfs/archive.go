package extfs

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"kadeploy/proto/image/posixacl"
)

// entries calls each with every entry of an archive and its ordinal.
func entries(ctx context.Context, r io.Reader, each func(i int, h *tar.Header, content io.Reader) error) error {
	tr := tar.NewReader(&interruptible{ctx, r})
	for i := 0; ; i++ {
		h, err := tr.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil && !errors.Is(err, tar.ErrInsecurePath) {
			return fmt.Errorf("read the archive: %w", err)
		}
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		if err := each(i, h, tr); err != nil {
			return fmt.Errorf("%s: %w", h.Name, err)
		}
	}
}

// read builds the tree. An archive that could not be extracted makes no tree either.
func (t *tree) read(ctx context.Context, r io.Reader) error {
	in := &ending{r: &interruptible{ctx, r}}
	if err := entries(ctx, in, t.entry); err != nil {
		return err
	}
	if err := in.finish(); err != nil {
		return err
	}
	return t.settle()
}

// interruptible ends with its context, in the middle of a file, too: few bytes of
// an archive can stand for hours of zeros.
type interruptible struct {
	ctx context.Context
	r   io.Reader
}

func (i *interruptible) Read(p []byte) (int, error) {
	if i.ctx.Err() != nil {
		return 0, context.Cause(i.ctx)
	}
	return i.r.Read(p)
}

// ending sees how an archive ends: with a block of zeros, or cut off.
type ending struct {
	r    io.Reader
	any  bool
	last [512]byte // of what was read, at its place modulo 512
	at   int64
	eof  bool
}

func (e *ending) Read(p []byte) (int, error) {
	n, err := e.r.Read(p)
	for i := max(0, n-len(e.last)); i < n; i++ {
		e.last[(e.at+int64(i))%int64(len(e.last))] = p[i]
	}
	e.at += int64(n)
	e.any = e.any || n > 0
	e.eof = e.eof || err == io.EOF
	return n, err
}

func (e *ending) finish() error {
	if !e.any {
		return errors.New("the archive is empty")
	}
	if e.eof && e.last != [512]byte{} {
		return errors.New("the archive has no end: it is truncated")
	}
	_, err := io.Copy(io.Discard, e.r) // sums are at the very end
	return err
}

// cleanName is a path relative to the root. Names that climb are refused.
func cleanName(name string) (string, error) {
	for part := range strings.SplitSeq(name, "/") {
		if part == ".." {
			return "", fmt.Errorf("name %q contains \"..\"", name)
		}
	}
	if strings.IndexByte(name, 0) >= 0 {
		return "", fmt.Errorf("name %q contains a zero byte", name)
	}
	if len(name) >= unix.PathMax {
		return "", fmt.Errorf("a name of %d bytes: %w", len(name), unix.ENAMETOOLONG)
	}
	return path.Clean("./" + strings.TrimLeft(name, "/")), nil
}

func (t *tree) entry(i int, h *tar.Header, content io.Reader) error {
	switch h.Typeflag {
	case tar.TypeXGlobalHeader, 'V': // a comment; the name of a volume
		return nil
	}
	t.entries++
	name, err := cleanName(h.Name)
	if err != nil {
		return err
	}
	if name == "." && h.Typeflag != tar.TypeDir && h.Typeflag != 'D' {
		return errors.New("the root can only be a directory")
	}
	switch h.Typeflag {
	case tar.TypeDir, 'D':
		return t.addDirectory(name, h)
	case tar.TypeLink:
		return t.addLink(name, h.Linkname)
	}
	n, err := t.node(i, h, content)
	if err != nil {
		return err
	}
	parent, base, err := t.parent(name)
	if err != nil {
		return err
	}
	if keeps(base) && n.kind() == unix.S_IFREG && n.size <= posixacl.MaxNames && !n.sparse {
		if n.content, err = io.ReadAll(content); err != nil {
			return err
		}
		if err := t.remember(len(n.content)); err != nil {
			return err
		}
	}
	return t.replace(parent, base, n)
}

// keeps reports files whose content may be needed to look up the users of an ACL.
func keeps(base string) bool { return base == "passwd" || base == "group" }

// node is an inode of what an entry has, but for directories and hard links.
func (t *tree) node(i int, h *tar.Header, content io.Reader) (*inode, error) {
	n := &inode{entry: i}
	switch h.Typeflag {
	case tar.TypeReg, tar.TypeGNUSparse, tar.TypeCont:
		n.mode, n.size, n.sparse = unix.S_IFREG, h.Size, isSparse(h)
		if n.sparse {
			var err error
			if t.holes += h.Size; t.holes > t.maxHoles {
				return nil, unsuitable("sparse files of more than %d bytes together", t.maxHoles)
			}
			if n.runs, err = dataRuns(content); err != nil {
				return nil, err
			}
		} else if t.data += h.Size; t.maxData > 0 && t.data > t.maxData {
			return nil, noRoom(t.data, t.maxData)
		}
	case tar.TypeSymlink:
		if h.Linkname == "" || len(h.Linkname) >= unix.PathMax || strings.IndexByte(h.Linkname, 0) >= 0 {
			return nil, errors.New("the target of the link is empty, too long, or has a zero byte")
		}
		n.mode, n.target = unix.S_IFLNK, h.Linkname
		if err := t.remember(len(n.target)); err != nil {
			return nil, err
		}
	case tar.TypeFifo:
		n.mode = unix.S_IFIFO
	case tar.TypeChar, tar.TypeBlock:
		n.mode = unix.S_IFCHR
		if h.Typeflag == tar.TypeBlock {
			n.mode = unix.S_IFBLK
		}
		if h.Devmajor < 0 || h.Devmajor >= 1<<12 || h.Devminor < 0 || h.Devminor >= 1<<20 {
			return nil, fmt.Errorf("device number %d:%d is out of range", h.Devmajor, h.Devminor)
		}
		n.device = unix.Mkdev(uint32(h.Devmajor), uint32(h.Devminor))
	default:
		return nil, fmt.Errorf("unknown type of entry %q", h.Typeflag)
	}
	return n, t.attributes(n, h)
}

// addDirectory makes a directory, or keeps the one that is there.
func (t *tree) addDirectory(name string, h *tar.Header) error {
	d := t.root
	if name != "." {
		parent, base, err := t.parent(name)
		if err != nil {
			return err
		}
		if d = parent.children[base]; d == nil || !d.isDir() {
			d = t.directory(parent, 0)
			if err := t.replace(parent, base, d); err != nil {
				return err
			}
		}
	}
	if d.hasACL {
		return unsuitable("the directory has two entries, and an access control list in the first")
	}
	return t.attributes(d, h)
}

// addLink gives an existing file another name.
func (t *tree) addLink(name, target string) error {
	target, err := cleanName(target)
	if err != nil {
		return fmt.Errorf("link to %w", err)
	}
	from, fromBase, err := t.parent(target)
	if err != nil {
		return err
	}
	n := from.children[fromBase]
	if n == nil || n.isDir() || target == "." {
		return fmt.Errorf("link to %s: it is not there, or a directory", target)
	}
	parent, base, err := t.parent(name)
	if err != nil || parent.children[base] == n {
		return err
	}
	return t.replace(parent, base, n)
}

func isSparse(h *tar.Header) bool {
	if h.Typeflag == tar.TypeGNUSparse {
		return true
	}
	for key := range h.PAXRecords {
		if strings.HasPrefix(key, "GNU.sparse.") {
			return true
		}
	}
	return false
}

// holeBlock is the size of the blocks of zeros that stay holes, in bytes.
const holeBlock = 4 << 10

// dataRuns reads a file and returns the ranges that are not zeros.
func dataRuns(r io.Reader) ([]run, error) {
	var runs []run
	buf := make([]byte, 64*holeBlock)
	for off := int64(0); ; {
		n, err := io.ReadFull(r, buf)
		for at := 0; at < n; at += holeBlock {
			end := min(at+holeBlock, n)
			if isZero(buf[at:end]) {
				continue
			}
			from, to := off+int64(at), off+int64(end)
			if last := len(runs) - 1; last >= 0 && runs[last].to == from {
				runs[last].to = to
				continue
			}
			if len(runs) == maxRuns {
				return nil, unsuitable("a file with more than %d holes", maxRuns)
			}
			runs = append(runs, run{from, to})
		}
		off += int64(n)
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			return runs, nil // a truncated archive is found by the next header
		}
		if err != nil {
			return nil, err
		}
	}
}

// maxRuns bounds what is kept of a file with very many holes.
const maxRuns = 1 << 16

func isZero(p []byte) bool {
	for len(p) >= 8 {
		if p[0]|p[1]|p[2]|p[3]|p[4]|p[5]|p[6]|p[7] != 0 {
			return false
		}
		p = p[8:]
	}
	for _, b := range p {
		if b != 0 {
			return false
		}
	}
	return true
}
