package tree

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// describe says of each file below dir what Pack and Extract must keep.
func describe(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	first := map[uint64]string{}
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := os.Lstat(path)
		if err != nil {
			return err
		}
		st := info.Sys().(*syscall.Stat_t)
		name, _ := filepath.Rel(dir, path)
		s := fmt.Sprintf("%v %d:%d %v rdev %x", info.Mode(), st.Uid, st.Gid, info.ModTime().UTC().Format(time.RFC3339Nano), st.Rdev)
		switch {
		case info.Mode().IsRegular():
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			s += fmt.Sprintf(" %d bytes, sum %x, holes %v", len(b), sum(b), st.Blocks*512 < st.Size)
			if st.Nlink > 1 {
				if first[st.Ino] == "" {
					first[st.Ino] = name
				}
				s += " same as " + first[st.Ino]
			}
		case info.Mode()&fs.ModeSymlink != 0:
			to, _ := os.Readlink(path)
			s += " -> " + to
		}
		value := make([]byte, 100)
		if n, err := unix.Lgetxattr(path, "user.colour", value); err == nil {
			s += " colour " + string(value[:n])
		}
		all[name] = s
		return nil
	})
	must(t, err)
	return all
}

func sum(b []byte) (s uint32) {
	for _, c := range b {
		s = s*31 + uint32(c)
	}
	return s
}

// make fills a directory with everything that there is.
func fill(t *testing.T, dir string) {
	t.Helper()
	must(t, os.MkdirAll(dir+"/sub/deep", 0o755))
	must(t, os.WriteFile(dir+"/file", []byte("content"), 0o640))
	must(t, os.WriteFile(dir+"/sub/empty", nil, 0o600))
	must(t, os.WriteFile(dir+"/sub/deep/"+strings.Repeat("long-", 40), bytes.Repeat([]byte("data"), 100000), 0o644))
	must(t, os.Link(dir+"/file", dir+"/sub/hard"))
	must(t, os.Symlink("../file", dir+"/sub/soft"))
	must(t, os.Symlink("/etc/passwd", dir+"/outside"))
	must(t, syscall.Mkfifo(dir+"/fifo", 0o622))
	sparse, err := os.Create(dir + "/sparse")
	must(t, err)
	_, err = sparse.WriteAt([]byte("in the middle"), 1<<20)
	must(t, err)
	must(t, sparse.Truncate(4<<20))
	sparse.Close()
	if os.Getuid() == 0 {
		must(t, syscall.Mknod(dir+"/null", syscall.S_IFCHR|0o666, int(unix.Mkdev(1, 3))))
		must(t, os.Lchown(dir+"/file", 1234, 4321))
		must(t, os.Lchown(dir+"/sub/soft", 77, 78))
	}
	must(t, os.Chmod(dir+"/file", 0o4751))
	unix.Setxattr(dir+"/file", "user.colour", []byte("blue"), 0) // where the file system has them
	old := time.Date(2001, 2, 3, 4, 5, 6, 789, time.UTC)
	must(t, os.Chtimes(dir+"/file", old, old))
	must(t, os.Chmod(dir+"/sub/deep", 0o555))
	t.Cleanup(func() { os.Chmod(dir+"/sub/deep", 0o755) })
	must(t, os.Chtimes(dir+"/sub/deep", old, old))
	must(t, os.Chtimes(dir+"/sub", old, old))
	must(t, os.Chtimes(dir, old, old))
}

func TestRoundTrip(t *testing.T) {
	from, to := t.TempDir()+"/from", t.TempDir()+"/to"
	fill(t, from)
	for range 2 { // the second time over what is there
		var b bytes.Buffer
		must(t, Pack(t.Context(), &b, from))
		must(t, Extract(&b, to))
		if diff := cmp.Diff(describe(t, from), describe(t, to)); diff != "" {
			t.Fatalf("-source +copy:\n%s", diff)
		}
	}
	t.Cleanup(func() { os.Chmod(to+"/sub/deep", 0o755) })
}

func archive(t testing.TB, headers ...tar.Header) []byte {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range headers {
		h.Mode = 0o755
		if h.Typeflag == tar.TypeReg {
			h.Size = 4
		}
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if h.Typeflag == tar.TypeReg {
			io.WriteString(w, "evil")
		}
	}
	w.Close()
	return b.Bytes()
}

// evil are archives that try to get out of their directory, and what refuses them.
var evil = []struct {
	name    string
	headers []tar.Header
	want    string // empty: it succeeds, inside
}{
	{"climbs", []tar.Header{{Typeflag: tar.TypeReg, Name: "../canary"}}, "leads out"},
	{"climbs in the middle", []tar.Header{{Typeflag: tar.TypeReg, Name: "a/../../canary"}}, "leads out"},
	{"absolute", []tar.Header{{Typeflag: tar.TypeReg, Name: "/tmp/canary"}}, "leads out"},
	{"through a link", []tar.Header{{Typeflag: tar.TypeSymlink, Name: "up", Linkname: ".."}, {Typeflag: tar.TypeReg, Name: "up/canary"}}, "escapes"},
	{"through an absolute link", []tar.Header{{Typeflag: tar.TypeSymlink, Name: "up", Linkname: "/tmp"}, {Typeflag: tar.TypeDir, Name: "up/canary"}}, "escapes"},
	{"a link becomes a directory", []tar.Header{{Typeflag: tar.TypeSymlink, Name: "up", Linkname: ".."}, {Typeflag: tar.TypeDir, Name: "up"}, {Typeflag: tar.TypeReg, Name: "up/canary"}}, ""},
	{"over a link", []tar.Header{{Typeflag: tar.TypeSymlink, Name: "up", Linkname: "../canary"}, {Typeflag: tar.TypeReg, Name: "up"}}, ""},
	{"hard link to the outside", []tar.Header{{Typeflag: tar.TypeLink, Name: "h", Linkname: "../canary"}}, "leads out"},
	{"hard link through a link", []tar.Header{{Typeflag: tar.TypeSymlink, Name: "up", Linkname: ".."}, {Typeflag: tar.TypeLink, Name: "h", Linkname: "up/canary"}}, "escapes"},
	{"directory becomes a link before its mode is set", []tar.Header{{Typeflag: tar.TypeDir, Name: "d"}, {Typeflag: tar.TypeSymlink, Name: "d", Linkname: ".."}}, ""},
	{"root is a link", []tar.Header{{Typeflag: tar.TypeSymlink, Name: ".", Linkname: ".."}}, "no directory"},
}

func TestEvil(t *testing.T) {
	for _, c := range evil {
		t.Run(c.name, func(t *testing.T) {
			base := t.TempDir()
			must(t, os.WriteFile(base+"/canary", []byte("alive"), 0o600))
			before := describe(t, base)
			delete(before, ".")
			err := Extract(bytes.NewReader(archive(t, c.headers...)), base+"/root")
			if (c.want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("Extract: %v, want %q", err, c.want)
			}
			outside(t, base, before)
		})
	}
}

// outside checks that nothing beside the root changed.
func outside(t *testing.T, base string, before map[string]string) {
	t.Helper()
	after := describe(t, base)
	for name := range after {
		if name == "." || name == "root" || strings.HasPrefix(name, "root/") {
			delete(after, name)
		}
	}
	if diff := cmp.Diff(before, after); diff != "" {
		t.Errorf("outside of the root (-before +after):\n%s", diff)
	}
}

func TestNotATar(t *testing.T) {
	for _, in := range []string{"", "plain text", strings.Repeat("x", 5000)} {
		if err := Extract(strings.NewReader(in), t.TempDir()); err == nil {
			t.Errorf("%.10q was extracted", in)
		}
	}
	cut := archive(t, tar.Header{Typeflag: tar.TypeReg, Name: "f"})
	if err := Extract(bytes.NewReader(cut[:514]), t.TempDir()); err == nil {
		t.Error("half an archive was extracted")
	}
}

func TestPackFailures(t *testing.T) {
	if err := Pack(t.Context(), io.Discard, "/none/such"); err == nil {
		t.Error("a directory that is not there was packed")
	}
	if err := Pack(t.Context(), brokenPipe{}, t.TempDir()); err == nil {
		t.Error("a closed pipe went unnoticed")
	}
}

type brokenPipe struct{}

func (brokenPipe) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

// FuzzExtract: no archive touches anything outside.
func FuzzExtract(f *testing.F) {
	for _, c := range evil {
		f.Add(archive(f, c.headers...))
	}
	base := f.TempDir()
	if err := os.WriteFile(base+"/canary", []byte("alive"), 0o600); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if huge(b) {
			t.Skip("only costs time")
		}
		before := describe(t, base)
		for name := range before {
			if name != "canary" {
				delete(before, name)
			}
		}
		x := base + "/root"
		Extract(bytes.NewReader(b), x)
		outside(t, base, before)
		filepath.WalkDir(x, func(path string, d fs.DirEntry, _ error) error {
			if d != nil && d.IsDir() {
				os.Chmod(path, 0o700)
			}
			return nil
		})
		os.RemoveAll(x)
	})
}

func huge(b []byte) bool {
	r := tar.NewReader(bytes.NewReader(b))
	for {
		h, err := r.Next()
		if err != nil {
			return false
		}
		if h.Size > 1<<20 {
			return true
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
