// Package imagetest has what tests of images share: an archive with one of
// everything, and a description of a tree of files by all that must be right.
package imagetest

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// Node is all that a comparison of two trees looks at.
type Node struct {
	Mode     string // octal, type included
	UID, GID uint32
	Size     int64
	MTime    string // seconds.nanoseconds
	Device   uint64
	Link     string
	SameAs   string // first name of the same inode
	Xattrs   map[string]string
	Content  string // digest
	Sparse   bool
}

// ReadTree describes everything below dir, by relative path.
func ReadTree(t testing.TB, dir string) map[string]Node {
	t.Helper()
	tree, inodes := map[string]Node{}, map[uint64]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		var st unix.Stat_t
		if err := unix.Lstat(path, &st); err != nil {
			return err
		}
		n := Node{
			Mode: fmt.Sprintf("%o", st.Mode), UID: st.Uid, GID: st.Gid, Device: st.Rdev,
			MTime: fmt.Sprintf("%d.%09d", st.Mtim.Sec, st.Mtim.Nsec), Xattrs: ReadXattrs(t, path),
		}
		if first, ok := inodes[st.Ino]; ok {
			n.SameAs = first
		} else {
			inodes[st.Ino] = rel
		}
		switch st.Mode & unix.S_IFMT {
		case unix.S_IFLNK:
			n.Link, err = os.Readlink(path)
		case unix.S_IFREG:
			var b []byte
			b, err = os.ReadFile(path)
			n.Size, n.Content = st.Size, fmt.Sprintf("%x", sha256.Sum256(b))
			n.Sparse = st.Blocks*512+64<<10 < st.Size
		}
		tree[rel] = n
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

// ReadXattrs are all extended attributes of a file, which may be a link.
func ReadXattrs(t testing.TB, path string) map[string]string {
	t.Helper()
	buf := make([]byte, 64<<10)
	n, err := unix.Llistxattr(path, buf)
	if err != nil {
		t.Fatalf("list extended attributes of %s: %v", path, err)
	}
	out := map[string]string{}
	for name := range strings.SplitSeq(strings.TrimRight(string(buf[:n]), "\x00"), "\x00") {
		if name == "" {
			continue
		}
		value := make([]byte, 64<<10)
		m, err := unix.Lgetxattr(path, name, value)
		if err != nil {
			t.Fatalf("extended attribute %s of %s: %v", name, path, err)
		}
		out[name] = string(value[:m])
	}
	return out
}

// Tool runs a command that the test needs; the package that has it is in scripts/.
func Tool(t testing.TB, stdin string, name string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	cmd.Stdin = strings.NewReader(stdin)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
}

// GNUExtract is the reference.
func GNUExtract(t testing.TB, archive, dir string) {
	t.Helper()
	Tool(t, "", "tar", "-xpf", archive, "-C", dir, "--numeric-owner", "--acls", "--xattrs", "--xattrs-include=*")
}
