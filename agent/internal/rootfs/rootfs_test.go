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

// A root with others inside of it: parents first, links followed inside, and after
// a failure at each point nothing is left.
func TestMountAll(t *testing.T) {
	for failing := -1; failing < 3; failing++ {
		root := filepath.Join(t.TempDir(), "dest")
		outside := t.TempDir()
		inner := []Inner{
			{Mount{Source: "var", Filesystem: "tmpfs"}, "/var"},
			{Mount{Source: "lib", Filesystem: "tmpfs"}, "/var/lib/x"},
			{Mount{Source: "srv", Filesystem: "tmpfs"}, "/srv/data"},
		}
		if failing >= 0 {
			inner[failing].Filesystem = "nosuchfs"
		}
		first := Mount{Source: "root", Point: root, Filesystem: "tmpfs"}
		if err := first.Do(); err != nil {
			t.Fatal(err)
		}
		// An image that links out of itself, as it seems from here.
		if err := os.MkdirAll(filepath.Join(root, outside), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(outside, filepath.Join(root, "srv")); err != nil {
			t.Fatal(err)
		}
		err := MountAll(first, inner...)
		if (err != nil) != (failing >= 0) {
			t.Errorf("failing at %d: %v", failing, err)
		}
		want := 4
		if failing >= 0 {
			want = 1 // it was there before
		}
		if mounts := below(t, root); len(mounts) != want {
			t.Errorf("failing at %d: mounted are %v", failing, mounts)
		}
		if left, _ := os.ReadDir(outside); len(left) > 0 {
			t.Errorf("made outside of the root: %v", left)
		}
		if err := Unmount(t.Context(), root); err != nil {
			t.Fatal(err)
		}
		if failing < 0 {
			continue
		}
		if err := MountAll(first, inner...); err == nil || len(below(t, root)) > 0 {
			t.Errorf("failing at %d from nothing: %v, left %v", failing, err, below(t, root))
		}
	}
}
