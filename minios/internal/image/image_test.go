package image

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"
	"github.com/u-root/u-root/pkg/cpio"
	"golang.org/x/sys/unix"

	"kadeploy/minios/internal/debian"
)

// unpacked makes the tree of a package: path as the package names it, and content, or -> and a target.
func unpacked(t *testing.T, name string, files map[string]string) debian.Unpacked {
	t.Helper()
	root := t.TempDir()
	p := debian.Unpacked{Package: debian.Package{Name: name}, Root: root, Files: map[string]string{}}
	for path, content := range files {
		disk := filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(disk), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		if target, link := strings.CutPrefix(content, "->"); link {
			err = os.Symlink(target, disk)
		} else {
			err = os.WriteFile(disk, []byte(content), 0o755)
		}
		if err != nil {
			t.Fatal(err)
		}
		p.Files[debian.MergedPath(path)] = disk
	}
	return p
}

// list reads an archive back: path and, for links, the target.
func list(t *testing.T, archive []byte) (names []string, records map[string]cpio.Record) {
	t.Helper()
	z, err := zstd.NewReader(bytes.NewReader(archive))
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	raw, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	reader := cpio.Newc.Reader(bytes.NewReader(raw))
	records = map[string]cpio.Record{}
	for {
		r, err := reader.ReadRecord()
		if errors.Is(err, io.EOF) {
			return names, records
		}
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, r.Name)
		records[r.Name] = r
	}
}

func build(t *testing.T, packages []debian.Unpacked) *Tree {
	t.Helper()
	tree, err := New(packages, []string{"/usr/share/doc/**"})
	if err != nil {
		t.Fatal(err)
	}
	if err := tree.Take("tools", []string{"/bin/*", "/sbin/*", "/usr/share/**"}); err != nil {
		t.Fatal(err)
	}
	return tree
}

func TestTree(t *testing.T) {
	packages := []debian.Unpacked{
		unpacked(t, "tools", map[string]string{
			"bin/tar": "x", "sbin/fsck.ext4": "->e2fsck", "sbin/e2fsck": "y", "bin/up": "->../lib/real",
			"usr/share/doc/tools/README": "no", "usr/share/tools/data": "yes",
		}),
		unpacked(t, "more", map[string]string{"lib/real": "z", "usr/bin/unused": ""}),
	}
	tree := build(t, packages)
	tree.LinkApplets("/usr/bin/busybox", []string{"tar", "e2fsck", "ls", "sh"}, []string{"sh"})
	var archive bytes.Buffer
	if err := tree.Write(&archive, 1700000000); err != nil {
		t.Fatal(err)
	}
	names, records := list(t, archive.Bytes())
	want := []string{"bin", "lib", "lib64", "sbin", "usr", "usr/bin", "usr/bin/ls", "usr/bin/tar", "usr/bin/up",
		"usr/lib", "usr/lib/real", "usr/sbin", "usr/sbin/e2fsck", "usr/sbin/fsck.ext4", "usr/share", "usr/share/tools", "usr/share/tools/data"}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Errorf("names (-want +got):\n%s", diff)
	}
	if !slices.IsSorted(names) {
		t.Error("a file comes before its directory")
	}
	for name, target := range map[string]string{"usr/bin/up": "/usr/lib/real", "usr/sbin/fsck.ext4": "/usr/sbin/e2fsck", "usr/bin/ls": "/usr/bin/busybox", "bin": "usr/bin"} {
		r := records[name]
		got, err := io.ReadAll(io.NewSectionReader(r, 0, int64(r.FileSize)))
		if err != nil || r.Mode&unix.S_IFMT != unix.S_IFLNK || string(got) != target {
			t.Errorf("%s is %o %q, want a link to %s (%v)", name, r.Mode, got, target, err)
		}
	}
	for name, r := range records {
		if r.MTime != 1700000000 || r.UID != 0 || r.GID != 0 {
			t.Errorf("%s: time %d, owner %d:%d", name, r.MTime, r.UID, r.GID)
		}
	}
	if tree.Uses(packages[0]) != true || !tree.Uses(packages[1]) {
		t.Error("a package that gave files counts as unused")
	}
}

func TestSameBytes(t *testing.T) {
	files := map[string]string{}
	for _, c := range "abcdefghij" {
		files["bin/"+string(c)] = strings.Repeat(string(c), 100_000)
	}
	files["sbin/x"], files["usr/share/x"] = "x", "x"
	var first, second bytes.Buffer
	for _, out := range []*bytes.Buffer{&first, &second} { // from two directories, at two times
		if err := build(t, []debian.Unpacked{unpacked(t, "tools", files)}).Write(out, 1); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(first.Bytes(), second.Bytes()) {
		t.Error("the same files made two different archives")
	}
}

func TestTakeRefuses(t *testing.T) {
	tree, err := New([]debian.Unpacked{unpacked(t, "tools", map[string]string{"bin/a": ""})}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := tree.Take("tools", []string{"/bin/typo"}); err == nil || !strings.Contains(err.Error(), "/bin/typo") {
		t.Errorf("Take of what is not there = %v", err)
	}
	if err := tree.Take("other", []string{"/**"}); err == nil || !strings.Contains(err.Error(), "other") {
		t.Errorf("Take of an unknown package = %v", err)
	}
}

// The test's own machine has a dynamic program: its loader and its library must be asked for.
func TestAddLibraries(t *testing.T) {
	program, err := os.ReadFile("/bin/sh")
	if err != nil {
		t.Fatal(err)
	}
	tools := map[string]string{"bin/sh": string(program)}
	take := func(libc map[string]string) (*Tree, error) {
		tree, err := New([]debian.Unpacked{unpacked(t, "tools", tools), unpacked(t, "libc6", libc)}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := tree.Take("tools", []string{"/bin/sh"}); err != nil {
			t.Fatal(err)
		}
		return tree, tree.AddLibraries(nil)
	}
	libc := map[string]string{"lib64/ld-linux-x86-64.so.2": "->/lib/x86_64-linux-gnu/ld.so", "lib/x86_64-linux-gnu/ld.so": "", "lib/x86_64-linux-gnu/libc.so.6": ""}
	tree, err := take(libc)
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/lib64/ld-linux-x86-64.so.2", "/lib/x86_64-linux-gnu/ld.so", "/lib/x86_64-linux-gnu/libc.so.6"} {
		if !tree.Has(path) {
			t.Errorf("%s is missing", path)
		}
	}
	delete(libc, "lib/x86_64-linux-gnu/libc.so.6")
	if _, err := take(libc); err == nil || !strings.Contains(err.Error(), "libc.so.6") {
		t.Errorf("a library that no package has: %v", err)
	}
}
