package image

import (
	"archive/tar"
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// FuzzExtract throws archives at the extractor: it must neither crash, hang nor
// touch anything outside of its root.
func FuzzExtract(f *testing.F) {
	for _, headers := range [][]tar.Header{
		{directory("d"), reg("d/f", 10), symlink("d/l", "../.."), reg("d/l/x", 3)},
		{symlink("l", "/"), hardlink("h", "l"), reg("l/etc", 1)},
		{{Typeflag: tar.TypeFifo, Name: "fifo"}, {Typeflag: tar.TypeReg, Name: "x", PAXRecords: map[string]string{
			"SCHILY.xattr.user.a": "b", "SCHILY.acl.access": "user::rw-,group::r--,other::---"}}},
		{{Typeflag: tar.TypeReg, Name: strings.Repeat("long/", 60) + "name", Size: 600}},
	} {
		f.Add(archiveOf(f, headers...))
	}
	for _, headers := range [][]tar.Header{
		{symlink("l", "../canary"), reg("l/file", 9), directory("l/new"), hardlink("h", "l/file"), reg("h", 4)},
		{directory("a"), directory("a/b"), symlink("a/b", "../../canary"), reg("a/b/file", 5)}, // a parent replaced in the midst
		{symlink("l", "../canary/file"), reg("l", 3), {Typeflag: tar.TypeChar, Name: "l", Devmajor: 1, Devminor: 3}},
		{symlink("a", "b"), symlink("b", "../canary"), {Typeflag: tar.TypeDir, Name: "a", Mode: 0o777, Uid: 7}},
		{hardlink("h", "../canary/file"), reg("h", 2)},
		{{Typeflag: tar.TypeReg, Name: "p", Size: 3, PAXRecords: map[string]string{"path": "../canary/file", "linkpath": "../canary"}}},
	} {
		f.Add(archiveOf(f, headers...))
	}
	base := f.TempDir()
	canary := filepath.Join(base, "canary")
	tool(f, "", "bash", "-ec", `mkdir -m 750 $0; cd $0; echo alive > file; ln -s file link; mkdir sub; echo x > sub/x; touch -hd 2011-11-11 sub/x link file sub .`, canary)
	before := readTree(f, canary)
	f.Fuzz(func(t *testing.T, archive []byte) {
		root, err := os.MkdirTemp(base, "root")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(root)
		if hasHuge(archive) {
			t.Skip("a sparse file of gigabytes only costs time")
		}
		begin := time.Now()
		top, err := openRoot(root)
		if err != nil {
			t.Fatal(err)
		}
		defer top.close()
		// Not through a sink: its flush of the whole file system would be all the time spent.
		c := &tarConsumer{opts: TarOptions{Root: root, Compression: None, Writers: 2}, root: top}
		_ = c.consume(t.Context(), bytes.NewReader(archive), func(_, _ int64) {})
		if d := time.Since(begin); d > 10*time.Second {
			t.Errorf("extraction of %d bytes took %s", len(archive), d)
		}
		if diff := cmp.Diff(before, readTree(t, canary)); diff != "" {
			t.Fatalf("the tree beside the root (-before +after):\n%s", diff)
		}
		if entries, err := os.ReadDir(base); err != nil || len(entries) > 2 {
			t.Fatalf("beside the root: %v, %v, want only the canary", entries, err)
		}
	})
}

func hasHuge(archive []byte) bool {
	tr := tar.NewReader(strings.NewReader(string(archive)))
	for {
		h, err := tr.Next()
		if err != nil {
			return false
		}
		if h.Size > 64<<20 {
			return true
		}
	}
}
