package rootfs

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kadeploy/agent/internal/fault"
	"kadeploy/agent/internal/mountinfo"
)

func below(t *testing.T, dir string) []mountinfo.Mount {
	t.Helper()
	mounts, err := mountinfo.Read()
	if err != nil {
		t.Fatal(err)
	}
	return mountinfo.Below(mounts, dir)
}

func TestMountAndUnmountInOrder(t *testing.T) {
	root := filepath.Join(t.TempDir(), "dest")
	for _, m := range []Mount{
		{Source: "first", Point: root, Filesystem: "tmpfs", Options: "size=1m,noatime"},
		{Source: "second", Point: root + "/var", Filesystem: "tmpfs"},
		{Source: "third", Point: root + "/var/lib", Filesystem: "tmpfs"},
	} {
		if err := m.Do(); err != nil {
			t.Fatal(err)
		}
		if err := m.Do(); err != nil {
			t.Errorf("mounting %s again: %v", m.Point, err)
		}
	}
	t.Cleanup(func() { Unmount(t.Context(), root) })
	if n := len(below(t, root)); n != 3 {
		t.Fatalf("%d mounts, want 3", n)
	}
	err := Mount{Source: "other", Point: root, Filesystem: "tmpfs"}.Do()
	if fault.KindOf(err) != fault.Precondition || !strings.Contains(err.Error(), "first is mounted there") {
		t.Errorf("mounting over it: %v", err)
	}
	if err := Unmount(t.Context(), root); err != nil {
		t.Fatal(err)
	}
	if left := below(t, root); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	if err := Unmount(t.Context(), root); err != nil {
		t.Errorf("unmounting nothing: %v", err)
	}
}

func TestUnmountDetachesWhatStaysBusy(t *testing.T) {
	root := filepath.Join(t.TempDir(), "dest")
	if err := (Mount{Source: "busy", Point: root, Filesystem: "tmpfs"}).Do(); err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(filepath.Join(root, "open"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := Unmount(t.Context(), root); err != nil {
		t.Fatal(err)
	}
	if left := below(t, root); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

func TestInside(t *testing.T) {
	root := t.TempDir()
	if err := os.Mkdir(filepath.Join(root, "real"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/real", filepath.Join(root, "run")); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{"/run": root + "/real", "/boot/efi": root + "/boot/efi"} {
		if got := Inside(root, path); got != want {
			t.Errorf("Inside(%s) = %s, want %s", path, got, want)
		}
	}
}

func TestRefusals(t *testing.T) {
	for _, point := range []string{"", "relative", "/", "/a/../b"} {
		if err := (Mount{Source: "x", Point: point, Filesystem: "tmpfs"}).Do(); fault.KindOf(err) != fault.Invalid {
			t.Errorf("mount on %q: %v", point, err)
		}
	}
	if err := Unmount(t.Context(), "/"); fault.KindOf(err) != fault.Invalid {
		t.Errorf("unmount /: %v", err)
	}
	err := Mount{Source: "/dev/none", Point: filepath.Join(t.TempDir(), "d"), Filesystem: "ext4"}.Do()
	if err == nil || !strings.Contains(err.Error(), "mount /dev/none on") {
		t.Errorf("a device that is not there: %v", err)
	}
}
