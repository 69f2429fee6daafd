package imagecache

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestOpenAs(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root, to become others")
	}
	const uid, gid, extra = 65534, 65534, 12345
	dir, err := os.MkdirTemp("/tmp", "kadeploy-openas-") // t.TempDir is closed to others
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	file := func(name string, owner, group int, mode os.FileMode) string {
		t.Helper()
		path := filepath.Join(dir, name)
		write(t, path, "x")
		if err := errors.Join(os.Chown(path, owner, group), os.Chmod(path, mode)); err != nil {
			t.Fatal(err)
		}
		return path
	}
	if err := os.Mkdir(filepath.Join(dir, "closed"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(file("secret", 0, 0, 0o600), filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		path string
		uid  int
		ok   bool
	}{
		{file("public", 0, 0, 0o644), uid, true},
		{file("own", uid, 0, 0o600), uid, true},
		{file("group", 0, gid, 0o640), uid, true},
		{file("further-group", 0, extra, 0o640), uid, true},
		{file("root-group", 0, 0, 0o640), uid, false},
		{filepath.Join(dir, "secret"), uid, false},
		{filepath.Join(dir, "secret"), 0, true},
		{filepath.Join(dir, "link"), uid, false},
		{file("closed/public", 0, 0, 0o644), uid, false},
	} {
		f, err := OpenAs(tc.path, tc.uid, gid, []int{extra})
		if (err == nil) != tc.ok || (err != nil && !errors.Is(err, fs.ErrPermission)) {
			t.Errorf("OpenAs(%s, %d) = %v", filepath.Base(tc.path), tc.uid, err)
		}
		if err == nil {
			if b, err := io.ReadAll(f); err != nil || string(b) != "x" {
				t.Errorf("%s: read %q, %v", tc.path, b, err)
			}
			f.Close()
		}
	}
	// Nobody else in this process has changed.
	if b, err := os.ReadFile(filepath.Join(dir, "secret")); err != nil {
		t.Errorf("the process lost its rights: %v %s", err, b)
	}
	fifo := filepath.Join(dir, "fifo")
	if err := unix.Mkfifo(fifo, 0o666); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		if f, err := OpenAs(fifo, 0, 0, nil); err == nil {
			f.Close()
		}
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(5 * time.Second):
		t.Error("a FIFO blocks it")
	}
}
