package kexec

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kadeploy/agent/internal/fault"
)

func TestFind(t *testing.T) {
	root := t.TempDir()
	if err := os.Mkdir(filepath.Join(root, "boot"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{"boot/vmlinuz-6.1": "k", "boot/initrd.img-6.1": "i", "boot/empty": ""} {
		if err := os.WriteFile(filepath.Join(root, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("/boot/vmlinuz-6.1", filepath.Join(root, "vmlinuz")); err != nil {
		t.Fatal(err)
	}
	got, err := Kernel{Root: root, Kernel: "/vmlinuz", Initrd: "/boot/initrd.img-6.1"}.Find()
	if want := (Files{"/boot/vmlinuz-6.1", "/boot/initrd.img-6.1"}); err != nil || got != want {
		t.Errorf("Find = %v, %v; want %v", got, err, want)
	}
	for _, c := range []struct {
		kernel, initrd, want string
	}{
		{"/none", "", "the kernel /none of the description is not in the image"},
		{"/vmlinuz", "/none", "the initrd /none"},
		{"/boot", "", "not a file"},
		{"/boot/empty", "", "empty"},
		{"", "", "no kernel is named"},
	} {
		_, err := Kernel{Root: root, Kernel: c.kernel, Initrd: c.initrd}.Find()
		if err == nil || !strings.Contains(err.Error(), c.want) || fault.KindOf(err) == fault.Internal {
			t.Errorf("Find(%q, %q) = %v, want %q", c.kernel, c.initrd, err, c.want)
		}
	}
}

func TestLoadRefusesWhatIsNoKernel(t *testing.T) {
	root := t.TempDir()
	if err := os.WriteFile(filepath.Join(root, "vmlinuz"), []byte("not a kernel"), 0o644); err != nil {
		t.Fatal(err)
	}
	err := Kernel{Root: root, Kernel: "/vmlinuz"}.Load(t.Context())
	if err == nil || !strings.Contains(err.Error(), "load the kernel /vmlinuz") {
		t.Errorf("Load = %v", err)
	}
}

func TestWithRoot(t *testing.T) {
	for _, c := range []struct{ line, root, want string }{
		{"quiet", "UUID=1", "root=UUID=1 quiet"},
		{"  a   b ", "/dev/vda3", "root=/dev/vda3 a b"},
		{"a root=/dev/sda1", "UUID=1", "a root=/dev/sda1"},
		{"nfsroot=x", "UUID=1", "root=UUID=1 nfsroot=x"},
		{"", "UUID=1", "root=UUID=1"},
		{"a", "", "a"},
	} {
		if got := WithRoot(c.line, c.root); got != c.want {
			t.Errorf("WithRoot(%q, %q) = %q, want %q", c.line, c.root, got, c.want)
		}
	}
}
