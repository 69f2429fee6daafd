package extfs

import (
	"errors"
	"fmt"
	"path"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// maxInodes bounds the memory that a tree takes: about 300 bytes each.
const maxInodes = 2 << 20

// maxHoles bounds the zeros that are looked at: a header of a few bytes can claim
// a hole of any size.
const maxHoles = 64 << 30

// maxWords bounds the names, attributes, targets of links and kept files of a tree,
// in bytes: a compressed archive can claim any number of them. Roots have a tenth of it.
const maxWords = 256 << 20

// maxLinks and maxFollow are the kernel's: names of an inode on ext4, links on a path.
const (
	maxLinks  = 65000
	maxFollow = 40
)

// inode is a file of any type.
type inode struct {
	number   uint32
	mode     uint32 // type and permissions
	uid, gid uint32
	mtime    time.Time
	xattrs   map[string][]byte
	acls     []namedACL
	links    int
	hasACL   bool
	given    bool // the archive says its owner and mode

	children map[string]*inode // of a directory
	parent   *inode            // of a directory
	target   string            // of a symbolic link
	device   uint64
	size     int64 // of a regular file

	entry   int      // ordinal of the archive's entry that has the content
	sparse  bool     // holes of the archive stay holes
	runs    []run    // of a sparse file: its data, in bytes
	content []byte   // of files that name users
	extents []extent // where it is, by place
	nodes   []uint64 // blocks of its extent tree
	xblock  uint64   // block of extended attributes that have no room in the inode
	blocks  uint64   // of all of these
}

// run is a range of bytes of a file.
type run struct{ from, to int64 }

func (n *inode) kind() uint32 { return n.mode & unix.S_IFMT }
func (n *inode) isDir() bool  { return n.kind() == unix.S_IFDIR }

// tree is what an extraction of the archive would leave.
type tree struct {
	root    *inode
	inodes  []*inode // in use, in order of appearance; filled by settle
	now     time.Time
	entries int
	named   bool // there are ACLs that name users
	count   int

	holes, maxHoles int64 // sizes of sparse files together, in bytes
	words, maxWords int64 // see maxWords
	data, maxData   int64 // sizes of the other files together, in bytes; maxData 0: no limit
}

const lostAndFound = "lost+found"

// newTree is what mke2fs makes.
func newTree(now time.Time) *tree {
	t := &tree{now: now, maxHoles: maxHoles, maxWords: maxWords}
	t.root = t.directory(nil, 0o755)
	lost := t.directory(t.root, 0o700)
	t.root.children[lostAndFound], lost.links = lost, 1
	return t
}

func (t *tree) directory(parent *inode, mode uint32) *inode {
	d := &inode{mode: unix.S_IFDIR | mode, mtime: t.now, children: map[string]*inode{}, parent: parent}
	if parent == nil {
		d.parent = d
	}
	return d
}

// find resolves a cleaned path to a directory as the kernel does for
// openat2(RESOLVE_IN_ROOT): no link and no ".." leads out of the root.
func (t *tree) find(name string) (*inode, error) {
	at := t.root
	rest := strings.Split(name, "/")
	for followed := 0; len(rest) > 0; {
		part := rest[0]
		rest = rest[1:]
		if !at.isDir() {
			return nil, &pathError{name, unix.ENOTDIR}
		}
		switch part {
		case "", ".":
			continue
		case "..":
			at = at.parent
			continue
		}
		next := at.children[part]
		if next == nil {
			return nil, &pathError{name, unix.ENOENT}
		}
		if next.kind() != unix.S_IFLNK {
			at = next
			continue
		}
		if followed++; followed > maxFollow {
			return nil, &pathError{name, unix.ELOOP}
		}
		if strings.HasPrefix(next.target, "/") {
			at = t.root
		}
		rest = append(strings.Split(next.target, "/"), rest...)
	}
	return at, nil
}

// pathError says what of a path is not there.
type pathError struct {
	path string
	err  error
}

func (e *pathError) Error() string { return fmt.Sprintf("open directory %s: %v", e.path, e.err) }
func (e *pathError) Unwrap() error { return e.err }

// dir is the directory at a cleaned path, which is made, with all above it, if
// it does not exist: archives may lack entries for directories.
func (t *tree) dir(name string) (*inode, error) {
	d, err := t.existing(name)
	if !errors.Is(err, unix.ENOENT) || name == "." {
		return d, err
	}
	parent, base, err := t.parent(name)
	if err != nil {
		return nil, err
	}
	if parent.children[base] == nil {
		if err := t.put(parent, base, t.directory(parent, 0o755)); err != nil {
			return nil, err
		}
	}
	return t.existing(name)
}

func (t *tree) existing(name string) (*inode, error) {
	d, err := t.find(name)
	if err == nil && !d.isDir() {
		err = &pathError{name, unix.ENOTDIR}
	}
	return d, err
}

// parent is the directory that holds name, and name's last component.
func (t *tree) parent(name string) (*inode, string, error) {
	d, err := t.dir(path.Dir(name))
	return d, path.Base(name), err
}

// put gives an inode a name that is free.
func (t *tree) put(parent *inode, base string, n *inode) error {
	if len(base) > 255 {
		return unix.ENAMETOOLONG
	}
	if n.links == 0 {
		if t.count++; t.count > maxInodes {
			return unsuitable("more than %d files", maxInodes)
		}
	}
	if n.links++; n.links > maxLinks {
		return unix.EMLINK
	}
	parent.children[base] = n
	return t.remember(len(base))
}

// remember counts bytes that the tree keeps.
func (t *tree) remember(bytes int) error {
	if t.words += int64(bytes); t.words > t.maxWords {
		return unsuitable("its names and attributes take more than %d MiB", t.maxWords>>20)
	}
	return nil
}

// remove takes away what is at base, to make room: anything but a directory
// that is not empty.
func (t *tree) remove(parent *inode, base string) error {
	n := parent.children[base]
	if n == nil {
		return nil
	}
	if n.isDir() && len(n.children) > 0 {
		return fmt.Errorf("make room: %w", unix.ENOTEMPTY)
	}
	if parent == t.root && base == lostAndFound {
		return unsuitable("it has something else than a directory at %s", base)
	}
	delete(parent.children, base)
	if n.links--; n.links == 0 {
		t.count--
	}
	return nil
}

// replace puts n at base, over what is there: the last entry wins.
func (t *tree) replace(parent *inode, base string, n *inode) error {
	if err := t.remove(parent, base); err != nil {
		return err
	}
	return t.put(parent, base, n)
}
