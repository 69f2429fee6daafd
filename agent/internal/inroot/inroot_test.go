package inroot

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

func tree(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	for _, dir := range []string{"boot", "etc"} {
		if err := os.Mkdir(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(root, "boot/vmlinuz-6.1"), []byte("kernel"), 0o644); err != nil {
		t.Fatal(err)
	}
	for link, to := range map[string]string{
		"vmlinuz": "boot/vmlinuz-6.1", "absolute": "/boot/vmlinuz-6.1", "up": "../../../../boot/vmlinuz-6.1",
		"loop": "loop", "dangling": "boot/none", "twice": "/absolute",
	} {
		if err := os.Symlink(to, filepath.Join(root, link)); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func TestResolve(t *testing.T) {
	root := tree(t)
	for path, want := range map[string]string{
		"/vmlinuz": "/boot/vmlinuz-6.1", "vmlinuz": "/boot/vmlinuz-6.1", "/absolute": "/boot/vmlinuz-6.1",
		"/up": "/boot/vmlinuz-6.1", "/twice": "/boot/vmlinuz-6.1", "/": "/", "/../../etc": "/etc",
	} {
		if got, err := Resolve(root, path); err != nil || got != want {
			t.Errorf("Resolve(%s) = %s, %v; want %s", path, got, err, want)
		}
	}
	for path, want := range map[string]error{"/dangling": fs.ErrNotExist, "/none": fs.ErrNotExist, "/loop": unix.ELOOP} {
		if got, err := Resolve(root, path); !errors.Is(err, want) {
			t.Errorf("Resolve(%s) = %s, %v; want %v", path, got, err, want)
		}
	}
}

func TestOpenCreatesInsideOnly(t *testing.T) {
	root := tree(t)
	outside := t.TempDir()
	if err := os.Symlink(outside, filepath.Join(root, "out")); err != nil {
		t.Fatal(err)
	}
	if f, err := Open(root, "/out/file", unix.O_WRONLY|unix.O_CREAT, 0o644); err == nil {
		f.Close()
		t.Error("a link led out of the root")
	}
	f, err := Open(root, "/etc/file", unix.O_WRONLY|unix.O_CREAT, 0o640)
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	if info, err := os.Stat(filepath.Join(root, "etc/file")); err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("etc/file: %v, %v", info, err)
	}
}
