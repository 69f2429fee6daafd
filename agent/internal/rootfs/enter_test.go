package rootfs

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// tree is a system with a resolv.conf of its own.
func tree(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	if err := os.Mkdir(filepath.Join(root, "etc"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, resolvConf), []byte("nameserver 192.0.2.1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	return root
}

func TestEnterIsUndone(t *testing.T) {
	root := tree(t)
	undo, err := Enter(root, true)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"dev/null", "dev/pts/ptmx", "proc/self", "sys/block", "run"} {
		if _, err := os.Stat(filepath.Join(root, name)); err != nil {
			t.Error(err)
		}
	}
	own, _ := os.ReadFile(resolvConf)
	if lent, err := os.ReadFile(filepath.Join(root, resolvConf)); err != nil || len(own) > 0 && string(lent) != string(own) {
		t.Errorf("resolv.conf inside: %q, %v; the node has %q", lent, err, own)
	}
	if err := undo(); err != nil {
		t.Fatal(err)
	}
	if left := below(t, root); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	if text, _ := os.ReadFile(filepath.Join(root, resolvConf)); !strings.Contains(string(text), "192.0.2.1") {
		t.Errorf("the system's own resolv.conf is now %q", text)
	}
	if err := undo(); err != nil {
		t.Errorf("undone twice: %v", err)
	}
}

// Each of the places is spoilt in turn: what was mounted before it is taken down again.
func TestEnterFailsAndLeavesNothing(t *testing.T) {
	for _, m := range enterOrder {
		if _, err := os.Stat(m.Point); err != nil && m.Point == efivarfs {
			continue
		}
		if strings.Count(m.Point, "/") > 1 {
			continue // inside of what is mounted: it cannot be spoilt
		}
		root := tree(t)
		if err := os.WriteFile(filepath.Join(root, m.Point), nil, 0o644); err != nil { // a file is no mount point for a directory
			t.Fatal(err)
		}
		if _, err := Enter(root, true); err == nil || !strings.Contains(err.Error(), m.Point) {
			t.Errorf("%s is a file: %v", m.Point, err)
		}
		if left := below(t, root); len(left) > 0 {
			t.Errorf("%s is a file: left: %v", m.Point, left)
		}
	}
}

// What a script mounted is neither mounted over nor taken away.
func TestEnterUsesWhatIsMounted(t *testing.T) {
	root := tree(t)
	if err := (Mount{Source: "/dev", Point: root + "/dev", Bind: true}).Do(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { Unmount(t.Context(), root+"/dev") })
	undo, err := Enter(root, false)
	if err != nil {
		t.Fatal(err)
	}
	// A program inside mounts something more.
	if err := (Mount{Source: "more", Point: root + "/run/more", Filesystem: "tmpfs"}).Do(); err != nil {
		t.Fatal(err)
	}
	if err := undo(); err != nil {
		t.Fatal(err)
	}
	if left := below(t, root); len(left) != 1 || left[0].Point != root+"/dev" {
		t.Errorf("left: %v, want only /dev", left)
	}
}
