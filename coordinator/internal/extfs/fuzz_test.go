package extfs

import (
	"archive/tar"
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// FuzzTree throws archives at the reader: it must neither crash nor hang, and its
// tree must hang together.
func FuzzTree(f *testing.F) {
	for _, headers := range [][]tar.Header{
		{{Typeflag: tar.TypeDir, Name: "d"}, {Typeflag: tar.TypeSymlink, Name: "d/l", Linkname: "../.."}, {Typeflag: tar.TypeReg, Name: "d/l/x"}},
		{{Typeflag: tar.TypeSymlink, Name: "l", Linkname: "/l"}, {Typeflag: tar.TypeLink, Name: "h", Linkname: "l"}, {Typeflag: tar.TypeReg, Name: "l/etc"}},
		{{Typeflag: tar.TypeReg, Name: "etc/passwd"}, {Typeflag: tar.TypeFifo, Name: "fifo"}, {Typeflag: tar.TypeReg, Name: "x", PAXRecords: map[string]string{
			"SCHILY.xattr.user.a": "b", "SCHILY.acl.access": "user::rw-,user:joe:r--,group::r--,mask::r--,other::---"}}},
	} {
		var buf bytes.Buffer
		w := tar.NewWriter(&buf)
		for _, h := range headers {
			h.ModTime = time.Unix(1e9, 0)
			if err := w.WriteHeader(&h); err != nil {
				f.Fatal(err)
			}
		}
		w.Close()
		f.Add(buf.Bytes())
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		tree := newTree(time.Unix(0, 0))
		tree.maxHoles = 1 << 20
		if err := tree.read(t.Context(), bytes.NewReader(data)); err != nil {
			return
		}
		for _, n := range tree.inodes {
			if n.links == 0 || n.isDir() && (n.links != 1 || n.parent.parent == nil) {
				t.Errorf("an inode of mode %o has %d names", n.mode, n.links)
			}
		}
	})
}

// FuzzVolume throws super blocks and descriptors at the reader of what mke2fs made.
func FuzzVolume(f *testing.F) {
	path := filepath.Join(f.TempDir(), "fs")
	if err := run1(f.Context(), 0, "mke2fs", "-q", "-t", "ext4", path, "4m"); err != nil {
		f.Fatal(err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole[superOffset : 3*superOffset])
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(t.TempDir(), "fs")
		content := bytes.Clone(whole)
		copy(content[superOffset:], data)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		file, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		v, err := openVolume(file)
		if err == nil && v.lostIs != 0 || err != nil && v != nil && errors.Is(err, ErrUnsuitable) {
			t.Error("half a volume")
		}
	})
}
