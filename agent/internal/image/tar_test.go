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
	"golang.org/x/sys/unix"
)

func needRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("this test makes devices and changes owners: run it as root")
	}
}

func TestExtractLikeGNUTar(t *testing.T) {
	needRoot(t)
	src := t.TempDir()
	tortureTree(t, src)
	for _, tt := range []struct {
		name string
		args []string
	}{
		{"pax", []string{"--format=posix", "--acls", "--xattrs", "--xattrs-include=*"}},
		{"pax sparse 1.0", []string{"--format=posix", "--acls", "--xattrs", "--xattrs-include=*", "-S", "--sparse-version=1.0"}},
		{"pax sparse 0.1", []string{"--format=posix", "-S", "--sparse-version=0.1"}},
		{"pax sparse 0.0", []string{"--format=posix", "-S", "--sparse-version=0.0"}},
		{"gnu", []string{"--format=gnu"}},
		{"old gnu sparse", []string{"--format=gnu", "-S"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			work := t.TempDir()
			archive := filepath.Join(work, "a.tar")
			tool(t, "", "tar", append([]string{"-cf", archive, "-C", src, "."}, tt.args...)...)
			compareWithGNU(t, archive)
		})
	}
}

func compareWithGNU(t *testing.T, archive string) {
	t.Helper()
	want, got := t.TempDir(), t.TempDir()
	gnuExtract(t, archive, want)
	b, err := os.ReadFile(archive)
	if err != nil {
		t.Fatal(err)
	}
	stats, err := extract(t, b, got, None)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(readTree(t, want), readTree(t, got)); diff != "" {
		t.Errorf("extracted tree differs from GNU tar's (-GNU +ours):\n%s", diff)
	}
	if stats.Written != int64(len(b)) || stats.Consumed != int64(len(b)) || stats.Entries == 0 {
		t.Errorf("Stats = %+v, want %d bytes consumed and written", stats, len(b))
	}
}

// archiveOf makes an archive of headers; content is given by hdr.Size bytes of the name's first letter.
func archiveOf(t testing.TB, headers ...tar.Header) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, h := range headers {
		if h.ModTime.IsZero() && h.Typeflag != tar.TypeXGlobalHeader {
			h.ModTime = time.Unix(1e9, 0)
		}
		if err := w.WriteHeader(&h); err != nil {
			t.Fatalf("%s: %v", h.Name, err)
		}
		if h.Typeflag == tar.TypeReg {
			if _, err := w.Write(bytes.Repeat([]byte(h.Name[:1]), int(h.Size))); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func reg(name string, size int64) tar.Header {
	return tar.Header{Typeflag: tar.TypeReg, Name: name, Size: size, Mode: 0o644}
}
func directory(name string) tar.Header {
	return tar.Header{Typeflag: tar.TypeDir, Name: name, Mode: 0o755}
}
func symlink(name, target string) tar.Header {
	return tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: target, Mode: 0o777}
}
func hardlink(name, target string) tar.Header {
	return tar.Header{Typeflag: tar.TypeLink, Name: name, Linkname: target, Mode: 0o644}
}

// recent marks a directory whose time GNU tar loses, as it is set too early.
func recent(h tar.Header) tar.Header {
	h.ModTime = time.Unix(17e8, 0)
	return h
}

// What GNU tar does with entries that meet each other is what we do.
func TestExtractDuplicatesLikeGNUTar(t *testing.T) {
	needRoot(t)
	for name, headers := range map[string][]tar.Header{
		"file over file":              {reg("a", 10), reg("b", 400000), reg("a", 300000), reg("b", 1)},
		"file over link":              {reg("target", 5), symlink("l", "target"), reg("l", 7)},
		"file over hard link":         {reg("a", 5), hardlink("b", "a"), reg("b", 7)},
		"link over file":              {reg("target", 5), reg("l", 7), symlink("l", "target")},
		"hard link to itself":         {reg("a", 5), hardlink("a", "a")},
		"hard link twice":             {reg("a", 5), hardlink("b", "a"), hardlink("b", "a")},
		"hard link over file":         {reg("a", 5), reg("b", 9), hardlink("b", "a")},
		"hard link to a link":         {symlink("s", "a"), hardlink("h", "s")},
		"hard link to absolute":       {reg("d/a", 5), hardlink("b", "/d/a")},
		"file over empty directory":   {directory("d"), reg("d", 3)},
		"directory over file":         {reg("d", 3), directory("d"), reg("d/x", 3)},
		"directory twice":             {directory("d"), reg("d/x", 3), {Typeflag: tar.TypeDir, Name: "d", Mode: 0o700, Uid: 5}},
		"directory over link to one":  {directory("real"), symlink("d", "real"), directory("d"), reg("d/x", 3)},
		"through a relative link":     {recent(directory("usr/lib")), symlink("lib", "usr/lib"), reg("lib/x", 3), directory("lib/sub")},
		"no entries for directories":  {reg("a/b/c/d", 3), reg("a/b/e", 3)},
		"absolute names":              {recent(directory("/a")), reg("/a/b", 3), reg("//a//c", 3), reg("./a/./d", 4)},
		"root's own attributes":       {{Typeflag: tar.TypeDir, Name: "./", Mode: 0o711, Uid: 3, Gid: 4}, reg("x", 3)},
		"device over file":            {reg("n", 3), {Typeflag: tar.TypeChar, Name: "n", Devmajor: 1, Devminor: 3, Mode: 0o600}},
		"file over device":            {{Typeflag: tar.TypeChar, Name: "n", Devmajor: 1, Devminor: 3, Mode: 0o600}, reg("n", 3)},
		"file over fifo":              {{Typeflag: tar.TypeFifo, Name: "n", Mode: 0o600}, reg("n", 3)},
		"global header":               {{Typeflag: tar.TypeXGlobalHeader, PAXRecords: map[string]string{"comment": "c"}}, reg("a", 3)},
		"mode of a file owned by all": {{Typeflag: tar.TypeReg, Name: "x", Size: 2, Mode: 0o6777, Uid: 9, Gid: 9}},
	} {
		t.Run(name, func(t *testing.T) {
			archive := filepath.Join(t.TempDir(), "a.tar")
			if err := os.WriteFile(archive, archiveOf(t, headers...), 0o600); err != nil {
				t.Fatal(err)
			}
			compareIgnoringImplied(t, archive)
		})
	}
}

// compareIgnoringImplied is compareWithGNU, but for the times of directories that have
// no entry: those are when the test ran.
func compareIgnoringImplied(t *testing.T, archive string) {
	t.Helper()
	want, got := t.TempDir(), t.TempDir()
	gnuExtract(t, archive, want)
	b, err := os.ReadFile(archive)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := extract(t, b, got, None); err != nil {
		t.Fatal(err)
	}
	opt := cmp.FilterPath(func(p cmp.Path) bool { return p.Last().String() == ".MTime" },
		cmp.Comparer(func(a, b string) bool { return a == b || (isRecent(a) && isRecent(b)) }))
	if diff := cmp.Diff(readTree(t, want), readTree(t, got), opt); diff != "" {
		t.Errorf("extracted tree differs from GNU tar's (-GNU +ours):\n%s", diff)
	}
}

func isRecent(mtime string) bool {
	seconds, _, _ := strings.Cut(mtime, ".")
	return len(seconds) >= 10 && seconds > "1600000000" && seconds < "2000000000"
}

func TestExtractACLOfImageUsers(t *testing.T) {
	needRoot(t)
	dir := t.TempDir()
	acl := map[string]string{
		paxACLAccess: "user::rw-,user:imageuser:rwx,group::r--,group:imagegroup:-w-,mask::rwx,other::---",
	}
	def := map[string]string{paxACLDefault: "user::rwx\nuser:imageuser:r-x\ngroup::r-x\nmask::r-x\nother::--- # end"}
	passwd := "root:x:0:0:::\nimageuser:x:4242:4343:::\n"
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, e := range []struct {
		h    tar.Header
		body string
	}{
		{tar.Header{Typeflag: tar.TypeReg, Name: "file", Mode: 0o670, PAXRecords: acl}, ""},
		{tar.Header{Typeflag: tar.TypeDir, Name: "dir", Mode: 0o755, PAXRecords: def}, ""},
		{tar.Header{Typeflag: tar.TypeReg, Name: "etc/passwd", Mode: 0o644}, passwd},
		{tar.Header{Typeflag: tar.TypeReg, Name: "etc/group", Mode: 0o644}, "imagegroup:x:4343:\n"},
	} {
		e.h.Size = int64(len(e.body))
		if err := w.WriteHeader(&e.h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(e.body)); err != nil {
			t.Fatal(err)
		}
	}
	w.Close()
	if _, err := extract(t, buf.Bytes(), dir, None); err != nil {
		t.Fatal(err)
	}
	want := t.TempDir()
	tool(t, "", "touch", want+"/file")
	tool(t, "", "setfacl", "-m", "u::rw,u:4242:rwx,g::r,g:4343:w,m::rwx,o::-", want+"/file")
	tool(t, "", "mkdir", want+"/dir")
	tool(t, "", "setfacl", "-d", "-m", "u::rwx,u:4242:rx,g::rx,m::rx,o::-", want+"/dir")
	for _, name := range []string{"file", "dir"} {
		if diff := cmp.Diff(readXattrs(t, filepath.Join(want, name)), readXattrs(t, filepath.Join(dir, name))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestExtractStaysInside(t *testing.T) {
	needRoot(t)
	for _, tt := range []struct {
		name    string
		headers []tar.Header
		errText string            // empty: extraction succeeds
		inside  map[string]string // content by path inside the root
	}{
		{"dots", []tar.Header{reg("../victim", 3)}, `contains ".."`, nil},
		{"dots in the middle", []tar.Header{reg("a/../../victim", 3)}, `contains ".."`, nil},
		{"through an absolute link", []tar.Header{symlink("l", "/"), reg("l/victim", 3)}, "", map[string]string{"victim": "lll"}},
		{"through a link to the outside", []tar.Header{symlink("l", "OUTSIDE"), reg("l/victim", 3)}, "no such file", nil},
		{"through dots in a link", []tar.Header{symlink("l", "../../../../../../../.."), reg("l/victim", 3)}, "", map[string]string{"victim": "lll"}},
		{"through links of links", []tar.Header{directory("a"), symlink("a/b", ".."), symlink("a/c", "b/../.."), reg("a/c/victim", 3)}, "", map[string]string{"victim": "aaa"}},
		{"hard link with dots", []tar.Header{hardlink("h", "../victim")}, `contains ".."`, nil},
		{"hard link through a link", []tar.Header{symlink("l", "OUTSIDE"), hardlink("h", "l/secret"), reg("h", 3)}, "no such file", nil},
		{"file over a link to the outside", []tar.Header{symlink("victim", "OUTSIDE/victim"), reg("victim", 3)}, "", map[string]string{"victim": "vvv"}},
		{"attributes over a link", []tar.Header{symlink("l", "OUTSIDE"), {Typeflag: tar.TypeDir, Name: "l", Mode: 0o777, Uid: 99}}, "", nil},
		{"the root as a file", []tar.Header{reg("./.", 3)}, "the root can only be a directory", nil},
		{"magic link", []tar.Header{directory("proc/self/root/tmp"), symlink("l", "/proc/self/root/tmp"), reg("l/victim", 3)}, "", map[string]string{"proc/self/root/tmp/victim": "lll"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			outside := t.TempDir()
			if err := os.WriteFile(filepath.Join(outside, "secret"), []byte("secret"), 0o600); err != nil {
				t.Fatal(err)
			}
			root := filepath.Join(outside, "below", "root")
			if err := os.MkdirAll(root, 0o755); err != nil {
				t.Fatal(err)
			}
			before := readTree(t, outside)
			for i := range tt.headers {
				tt.headers[i].Linkname = strings.Replace(tt.headers[i].Linkname, "OUTSIDE", outside, 1)
			}
			_, err := extract(t, archiveOf(t, tt.headers...), root, None)
			if tt.errText == "" && err != nil || tt.errText != "" && (err == nil || !strings.Contains(err.Error(), tt.errText)) {
				t.Errorf("extract = %v, want error text %q", err, tt.errText)
			}
			for name, want := range tt.inside {
				if b, err := os.ReadFile(filepath.Join(root, name)); err != nil || string(b) != want {
					t.Errorf("%s = %q, %v, want %q", name, b, err, want)
				}
			}
			after := readTree(t, outside)
			for name := range after {
				if strings.HasPrefix(name, "below/root") {
					delete(after, name)
				}
			}
			delete(before, "below/root")
			if diff := cmp.Diff(before, after); diff != "" {
				t.Errorf("outside of the root (-before +after):\n%s", diff)
			}
		})
	}
}

func TestExtractOverWhatIsThere(t *testing.T) {
	needRoot(t)
	dir := t.TempDir()
	tool(t, "", "bash", "-ec", `cd "$0"; mkdir -p full/x set; chmod 2777 set; chown 0:50 set; echo old > old; setfacl -d -m u:5:rwx full`, dir)
	if _, err := extract(t, archiveOf(t, reg("full", 1)), dir, None); err == nil || !strings.Contains(err.Error(), "directory not empty") {
		t.Errorf("a file over a full directory: %v, want: directory not empty", err)
	}
	if _, err := extract(t, archiveOf(t, reg("set/f", 1), reg("full/f", 1), reg("old", 2)), dir, None); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"set/f", "full/f", "old"} {
		var st unix.Stat_t
		if err := unix.Lstat(filepath.Join(dir, name), &st); err != nil {
			t.Fatal(err)
		}
		if st.Mode != unix.S_IFREG|0o644 || st.Gid != 0 {
			t.Errorf("%s: mode %o gid %d, want 100644 gid 0", name, st.Mode, st.Gid)
		}
	}
}

func TestCleanFirst(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "old/deep"), 0o755); err != nil {
		t.Fatal(err)
	}
	s, err := NewTarSink(t.Context(), TarOptions{Root: dir, Compression: None, Clean: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Write(archiveOf(t, reg("new", 1))); err != nil {
		t.Fatal(err)
	}
	if err := s.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 || entries[0].Name() != "new" {
		t.Errorf("after a clean extraction: %v, %v, want only new", entries, err)
	}
	if _, err := NewTarSink(t.Context(), TarOptions{Root: "/", Compression: None, Clean: true}); err == nil {
		t.Error("emptying / was not refused")
	}
}
