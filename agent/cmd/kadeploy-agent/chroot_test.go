package main

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"kadeploy/agent/internal/mountinfo"
)

// busyboxTree is a system of one static program.
func busyboxTree(t *testing.T) string {
	t.Helper()
	from, err := os.Open("/bin/busybox")
	if err != nil {
		t.Skip("no static busybox here (Debian package busybox-static)")
	}
	defer from.Close()
	root := t.TempDir()
	if err := os.MkdirAll(filepath.Join(root, "bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	to, err := os.OpenFile(filepath.Join(root, "bin/busybox"), os.O_CREATE|os.O_WRONLY, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(to, from); err != nil {
		t.Fatal(err)
	}
	to.Close()
	if out, err := exec.Command("chroot", root, "/bin/busybox", "true").CombinedOutput(); err != nil {
		t.Skipf("busybox does not run in a tree of its own: %v: %s", err, out)
	}
	return root
}

func TestChroot(t *testing.T) {
	root := busyboxTree(t)
	for _, c := range []struct {
		words  string
		status int
		fails  bool
	}{
		{"busybox test -e /proc/self", 0, false},
		{"/bin/busybox sh -c 'exit 7'", 7, false},
		{"none", 127, true},
		{"/bin/none", 1, true},
	} {
		words := strings.Fields(c.words)
		if strings.Contains(c.words, "exit") {
			words = []string{"/bin/busybox", "sh", "-c", "exit 7"}
		}
		status, err := enter(root, words)
		if status != c.status || (err != nil) != c.fails {
			t.Errorf("%s: status %d, %v; want %d", c.words, status, err, c.status)
		}
		mounts, err := mountinfo.Read()
		if err != nil || len(mountinfo.Below(mounts, root)) > 0 {
			t.Errorf("%s: left mounted: %v, %v", c.words, mountinfo.Below(mounts, root), err)
		}
	}
	if status, err := enter("/", []string{"true"}); status != 2 || err == nil {
		t.Errorf("/: status %d, %v", status, err)
	}
}
