package image

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// A system with several file systems is emptied as a whole; what the kernel
// mounted below it is a mistake that must not be emptied.
func TestCleanWithMounts(t *testing.T) {
	dir := t.TempDir()
	must := func(name string, args ...string) string {
		t.Helper()
		out, err := exec.Command(name, args...).CombinedOutput()
		if err != nil {
			t.Fatalf("%s %v: %v\n%s", name, args, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	if os.Geteuid() != 0 {
		t.Fatal("this test mounts: run it as root")
	}
	file := filepath.Join(t.TempDir(), "disk")
	must("truncate", "-s", "20M", file)
	must("mkfs.ext4", "-q", "-F", file)
	inner := filepath.Join(dir, "a/var")
	must("mkdir", "-p", inner)
	must("mount", "-o", "loop", file, inner)
	t.Cleanup(func() { must("umount", inner) })
	for _, f := range []string{"a/file", "a/var/file", "file"} {
		if err := os.WriteFile(filepath.Join(dir, f), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	kernel := filepath.Join(dir, "proc")
	must("mkdir", kernel)
	if err := unix.Mount("tmpfs", kernel, "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	err := clean(dir)
	must("umount", kernel)
	if err == nil || !strings.Contains(err.Error(), "mounted on "+kernel) {
		t.Errorf("with a tmpfs below: %v, want a refusal", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "file")); err != nil {
		t.Errorf("a refusal removed something: %v", err)
	}
	if err := clean(dir); err != nil {
		t.Fatal(err)
	}
	left := strings.Fields(must("find", dir, "-mindepth", "1"))
	if got := strings.Join(left, " "); got != filepath.Join(dir, "a")+" "+inner {
		t.Errorf("left: %s", got)
	}
}
