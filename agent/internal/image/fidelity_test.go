package image

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kadeploy/proto/image/imagetest"
)

// archiveFile writes archives, one after the other, into a file.
func archiveFile(t *testing.T, parts ...[]byte) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "a.tar")
	if err := os.WriteFile(file, bytes.Join(parts, nil), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// What the torture tree cannot hold: what is in headers, and how archives are put together.
func TestExtractHeadersLikeGNUTar(t *testing.T) {
	needRoot(t)
	at := func(h tar.Header, s, ns int64) tar.Header {
		h.ModTime, h.Format = time.Unix(s, ns), tar.FormatPAX
		return h
	}
	record := func(h tar.Header, key, value string) tar.Header {
		h.PAXRecords, h.Format = map[string]string{key: value}, tar.FormatPAX
		return h
	}
	long := strings.Repeat("directory/", 40) + "name"
	gnu := func(h tar.Header) tar.Header { h.Format = tar.FormatGNU; return h }
	for name, parts := range map[string][][]byte{
		"times": {archiveOf(t, at(reg("before", 1), -1, 999999999), at(reg("long-before", 1), -2000000000, 0), at(reg("late", 1), 1<<33+5, 1), at(reg("beyond", 1), 1<<40, 0), at(directory("d"), -86400, 5e8))},
		"long names, PAX and GNU": {archiveOf(t, record(reg(long+"1", 3), "comment", "x"), gnu(reg(long+"2", 3)),
			gnu(symlink("l", strings.Repeat("t/", 200))), gnu(hardlink("h", long+"1")))},
		"names that are not UTF-8": {archiveOf(t, gnu(reg("caf\xe9", 3)), gnu(symlink("l\xff", "caf\xe9")), record(reg("\xe9t\xe9"+long, 3), "comment", "x"))},
		"extended attributes":      {archiveOf(t, record(reg("a", 1), "SCHILY.xattr.user.n", "v\x01="), record(directory("d"), "SCHILY.xattr.trusted.t", "\x00"))},
		"global header with times": {archiveOf(t, tar.Header{Typeflag: tar.TypeXGlobalHeader, PAXRecords: map[string]string{"comment": "c", "VENDOR.x": "y"}}, reg("a", 3))},
		"two archives in a row":    {archiveOf(t, reg("a", 3)), archiveOf(t, reg("b", 3))},
		"padding":                  {archiveOf(t, reg("a", 3)), make([]byte, 64<<10)},
		"garbage behind the end":   {archiveOf(t, reg("a", 3)), bytes.Repeat([]byte("x"), 2000)},
		"last one wins, of all types": {archiveOf(t, directory("x"), reg("x", 4), symlink("x", "nowhere"), directory("x"), reg("x/y", 2),
			reg("f", 3), symlink("f", "x/y"), hardlink("f", "x/y"), tar.Header{Typeflag: tar.TypeFifo, Name: "f", Mode: 0o640})},
	} {
		t.Run(name, func(t *testing.T) { compareIgnoringImplied(t, archiveFile(t, parts...)) })
	}
}

// An ACL in the kernel's form and an SELinux label are set, where GNU tar wants options
// for each, and drops the ACL.
func TestExtractKernelAttributes(t *testing.T) {
	needRoot(t)
	acl := "\x02\x00\x00\x00\x01\x00\x06\x00\xff\xff\xff\xff\x02\x00\x04\x00\x4d\x00\x00\x00\x04\x00\x04\x00\xff\xff\xff\xff\x10\x00\x04\x00\xff\xff\xff\xff\x20\x00\x00\x00\xff\xff\xff\xff"
	dir := t.TempDir()
	a, b := reg("a", 1), reg("b", 1)
	a.PAXRecords = map[string]string{"SCHILY.xattr.system.posix_acl_access": acl}
	b.PAXRecords = map[string]string{"RHT.security.selinux": "system_u:object_r:etc_t:s0"}
	if _, err := extract(t, archiveOf(t, a, b), dir, None); err != nil {
		t.Fatal(err)
	}
	got := map[string]map[string]string{"a": readXattrs(t, filepath.Join(dir, "a")), "b": readXattrs(t, filepath.Join(dir, "b"))}
	want := map[string]map[string]string{"a": {xattrACLAccess: acl}, "b": {"security.selinux": "system_u:object_r:etc_t:s0\x00"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("extended attributes (-want +got):\n%s", diff)
	}
}

// A sparse file of more than 8 GiB keeps its size, its data and its holes.
func TestExtractHugeSparseLikeGNUTar(t *testing.T) {
	needRoot(t)
	dir := t.TempDir()
	tool(t, "", "bash", "-ec", `cd $0; truncate -s 9G huge; for at in 0 1000000 9000000; do echo data | dd of=huge bs=1000 seek=$at conv=notrunc status=none; done`, dir)
	for _, args := range [][]string{{"--format=gnu"}, {"--format=posix", "--sparse-version=1.0"}, {"--format=posix", "--sparse-version=0.1"}} {
		archive := filepath.Join(dir, "a.tar")
		tool(t, "", "tar", append([]string{"-cSf", archive, "-C", dir, "huge"}, args...)...)
		b, err := os.ReadFile(archive)
		if err != nil {
			t.Fatal(err)
		}
		got := t.TempDir()
		if _, err := extract(t, b, got, None); err != nil {
			t.Fatal(err)
		}
		// Only the places with data, and around: reading 9 GiB of zeros twice would take seconds.
		tool(t, "", "bash", "-ec", `[ $(stat -c %s $1/huge) = $(stat -c %s $0/huge) ]
			for at in 0 1000000 5000000 9000000; do cmp <(dd if=$0/huge bs=1000 skip=$at count=100 status=none) <(dd if=$1/huge bs=1000 skip=$at count=100 status=none); done`, dir, got)
		if n := allocated(t, filepath.Join(got, "huge")); n > 1<<20 {
			t.Errorf("%v: the file takes %d bytes, want holes", args, n)
		}
		os.Remove(filepath.Join(got, "huge"))
	}
}

// A real Debian root comes out as from GNU tar: the environment that `make
// environment` builds, or else this machine's own programs and settings.
func TestExtractRealRootLikeGNUTar(t *testing.T) {
	needRoot(t)
	archive := filepath.Join(t.TempDir(), "root.tar")
	if made := filepath.Join(os.Getenv("KADEPLOY_ENVIRONMENT"), "debian12-min.tar.zst"); os.Getenv("KADEPLOY_ENVIRONMENT") != "" && exists(made) {
		tool(t, "", "zstd", "-qd", made, "-o", archive)
	} else {
		tool(t, "", "tar", "-cf", archive, "--xattrs", "--acls", "-C", "/", "etc", "usr/sbin", "usr/share/perl", "var/lib/dpkg/info", "bin", "lib")
	}
	want, got := t.TempDir(), t.TempDir()
	gnuExtract(t, archive, want)
	b, err := os.ReadFile(archive)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := extract(t, b, got, None); err != nil {
		t.Fatal(err)
	}
	wantTree, gotTree := readTree(t, want), readTree(t, got)
	keepACLs(t, wantTree, b)
	for _, implied := range []string{".", "usr", "usr/share", "var", "var/lib", "var/lib/dpkg"} {
		if !exists(filepath.Join(os.Getenv("KADEPLOY_ENVIRONMENT"), "debian12-min.tar.zst")) {
			delete(wantTree, implied) // made when the test ran
			delete(gotTree, implied)
		}
	}
	if len(wantTree) < 1000 {
		t.Errorf("the archive holds %d entries, want a whole system's", len(wantTree))
	}
	if diff := cmp.Diff(wantTree, gotTree); diff != "" {
		t.Errorf("extracted tree differs from GNU tar's (-GNU +ours):\n%s", diff)
	}
}

// keepACLs puts the access control lists of an archive into a tree that GNU tar has
// extracted: it drops those that are kept in the kernel's form, as extended attributes.
func keepACLs(t *testing.T, tree map[string]imagetest.Node, archive []byte) {
	t.Helper()
	for r := tar.NewReader(bytes.NewReader(archive)); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		for key, value := range h.PAXRecords {
			if name, ok := strings.CutPrefix(key, "SCHILY.xattr."); ok && strings.HasPrefix(name, "system.posix_acl_") {
				tree[filepath.Clean(h.Name)].Xattrs[name] = value
			}
		}
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
