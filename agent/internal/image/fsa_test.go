package image

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kadeploy/agent/internal/fault"
	"kadeploy/proto/image/imagetest"
)

// fsaSource makes an archive of two file systems, and returns what is in the first.
func fsaSource(t *testing.T) (archive []byte, tree map[string]imagetest.Node) {
	t.Helper()
	dir, mnt := t.TempDir(), t.TempDir()
	tool(t, "", "bash", "-ec", `cd $0; truncate -s 64M a b; mke2fs -q -t ext4 -L ROOT a; mke2fs -q -t ext4 -d /usr/share/perl b`, dir)
	a, b := loop(t, filepath.Join(dir, "a")), loop(t, filepath.Join(dir, "b"))
	tool(t, "", "mount", a, mnt)
	tool(t, "", "bash", "-ec", `cd $0; mkdir -p bin; echo x > bin/suid; chown 7:8 bin/suid; chmod 4755 bin/suid; ln bin/suid hard; ln -s bin/suid soft
		mknod null c 1 3; echo cap > bin/cap; setcap cap_net_raw+ep bin/cap; setfacl -m u:77:x bin
		find . -depth -exec touch -hd 2011-11-11 {} +`, mnt) // fsarchiver keeps whole seconds
	tree = readTree(t, mnt)
	tool(t, "", "umount", mnt)
	tool(t, "", "fsarchiver", "savefs", filepath.Join(dir, "x.fsa"), a, b)
	archive, err := os.ReadFile(filepath.Join(dir, "x.fsa"))
	if err != nil {
		t.Fatal(err)
	}
	return archive, tree
}

func restoreFsa(t *testing.T, archive []byte, parts ...FsaPart) (Stats, error) {
	t.Helper()
	dir, released := t.TempDir(), 0
	s, err := NewFsaSink(t.Context(), FsaOptions{Path: filepath.Join(dir, "image.fsa"), Parts: parts, Release: func() error { released++; return nil }})
	if err == nil {
		if _, err = s.Write(archive); err == nil {
			err = s.Commit(t.Context())
		} else {
			s.Abort(err)
		}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 || released != 1 {
		t.Errorf("the archive's place holds %v and was released %d times (%v), want nothing, once", left, released, err)
	}
	if s == nil {
		return Stats{}, err
	}
	return s.Stats(), err
}

func TestFsa(t *testing.T) {
	needRoot(t)
	archive, want := fsaSource(t)
	dir, mnt := t.TempDir(), t.TempDir()
	tool(t, "", "bash", "-ec", `cd $0; truncate -s 128M a b; truncate -s 8M small`, dir)
	a, b, small := loop(t, filepath.Join(dir, "a")), loop(t, filepath.Join(dir, "b")), loop(t, filepath.Join(dir, "small"))
	stats, err := restoreFsa(t, archive, FsaPart{0, a}, FsaPart{1, b})
	if err != nil {
		t.Fatal(err)
	}
	if stats.Written != int64(len(archive)) || stats.Entries < 1000 {
		t.Errorf("Stats = %+v, want %d bytes, and the entries of both file systems", stats, len(archive))
	}
	tool(t, "", "mount", "-r", a, mnt)
	got := readTree(t, mnt)
	tool(t, "", "umount", mnt)
	delete(want, ".") // fsarchiver does not keep the root's time
	delete(got, ".")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the restored file system (-want +got):\n%s", diff)
	}
	tool(t, "", "bash", "-ec", `[ "$(blkid -p -o value -s LABEL $0)" = ROOT ]; mount -r $1 $2; diff -r /usr/share/perl $2 -x lost+found; umount $2`, a, b, mnt)

	damaged := append([]byte(nil), archive...)
	damaged[len(damaged)/2] ^= 0xff
	// What a flipped bit hits differs from one archive to the next, and fsarchiver may end with 0.
	if _, err := restoreFsa(t, damaged, FsaPart{0, a}, FsaPart{1, b}); err == nil || !strings.Contains(err.Error(), ".c#") {
		t.Errorf("a damaged archive: %v, want fsarchiver's complaints", err)
	}
	for _, tt := range []struct {
		name    string
		archive []byte
		parts   []FsaPart
		kind    fault.Kind
		want    string
	}{
		{"cut", archive[:len(archive)/2], []FsaPart{{0, a}, {1, b}}, fault.Internal, "fsarchiver restfs"},
		{"no such file system", archive, []FsaPart{{5, a}}, fault.Internal, "invalid filesystem id"},
		{"too small", archive, []FsaPart{{1, small}}, fault.Internal, "No space left on device"},
		{"a tar archive", randomArchive(t), []FsaPart{{0, a}}, fault.Invalid, "set image.kind to tar"},
		{"anything", []byte("anything"), []FsaPart{{0, a}}, fault.Invalid, "no archive of fsarchiver"},
		{"empty", nil, []FsaPart{{0, a}}, fault.Invalid, "the image is empty"},
		{"nowhere", archive, nil, fault.Invalid, "no partition is named"},
	} {
		_, err := restoreFsa(t, tt.archive, tt.parts...)
		if fault.KindOf(err) != tt.kind || err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v (kind %d), want kind %d and %q", tt.name, err, fault.KindOf(err), tt.kind, tt.want)
		}
	}
}
