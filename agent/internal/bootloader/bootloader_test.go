package bootloader

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kadeploy/agent/internal/fault"
)

// system is a tree that looks as much like a system as the tests need.
func system(t *testing.T, files map[string]string) Install {
	t.Helper()
	in := Install{
		Root: t.TempDir(), Disk: "/dev/vda", RootDevice: "/dev/vda3", RootUUID: "0123",
		Kernel: "/vmlinuz", Initrd: "/initrd.img", Params: "console=ttyS0,115200n8 quiet",
		Variables: map[string]string{"BOOTLOADER_NO_INSTALL": "1"}, Output: &bytes.Buffer{},
	}
	for path, content := range files {
		full := filepath.Join(in.Root, path)
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(full, []byte(content), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for link, to := range map[string]string{"vmlinuz": "boot/vmlinuz-6.1", "initrd.img": "/boot/initrd.img-6.1"} {
		if err := os.Symlink(to, filepath.Join(in.Root, link)); err != nil {
			t.Fatal(err)
		}
	}
	return in
}

var kernel = map[string]string{"boot/vmlinuz-6.1": "k", "boot/vmlinuz-6.5": "k", "boot/initrd.img-6.1": "i"}

func read(t *testing.T, in Install, path string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(in.Root, path))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestPlainConfigurationWhereThereIsNoGenerator(t *testing.T) {
	in := system(t, kernel)
	if err := in.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	config := read(t, in, "boot/grub/grub.cfg")
	for _, want := range []string{
		"set timeout=0", "search --no-floppy --fs-uuid --set=root 0123",
		"linux /boot/vmlinuz-6.1 root=UUID=0123 ro console=ttyS0,115200n8 quiet", "initrd /boot/initrd.img-6.1",
	} {
		if !strings.Contains(config, want) {
			t.Errorf("grub.cfg lacks %q:\n%s", want, config)
		}
	}
	if got := defaultKernel(config); got != "/boot/vmlinuz-6.1" {
		t.Errorf("defaultKernel of it = %q", got)
	}
}

func TestVariables(t *testing.T) {
	for name, c := range map[string]struct {
		want, lacks string
	}{
		"BOOTLOADER_NO_UUID":   {"linux /boot/vmlinuz-6.1 root=/dev/vda3 ro", "UUID"},
		"BOOTLOADER_SHOW_MENU": {"set timeout=5", "set timeout=0"},
	} {
		in := system(t, kernel)
		in.Variables[name] = "1"
		if err := in.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		if config := read(t, in, "boot/grub/grub.cfg"); !strings.Contains(config, c.want) || strings.Contains(config, c.lacks) {
			t.Errorf("%s: grub.cfg:\n%s", name, config)
		}
	}
	for _, name := range []string{"BOOTLOADER_SKIP", "BOOTLOADER_NO_CONFIG"} {
		in := system(t, kernel)
		in.Variables[name] = "1"
		if err := in.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(filepath.Join(in.Root, "boot/grub/grub.cfg")); err == nil {
			t.Errorf("%s: grub.cfg was written", name)
		}
	}
}

// A UUID that two file systems have finds neither the kernel nor the root.
func TestSharedUUID(t *testing.T) {
	in := system(t, kernel)
	in.SharedUUID = true
	if err := in.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	config := read(t, in, "boot/grub/grub.cfg")
	if !strings.Contains(config, "search --no-floppy --file --hint=$root --set=root /boot/vmlinuz-6.1\n") || strings.Contains(config, in.RootUUID) {
		t.Errorf("grub.cfg:\n%s", config)
	}
}

func TestKernelMismatch(t *testing.T) {
	in := system(t, kernel)
	for config, ok := range map[string]bool{
		"menuentry 'a' {\n\tlinux\t/boot/vmlinuz-6.1 root=x\n}\n":                                                 true,
		"menuentry 'a' {\n\tlinux\t/vmlinuz-6.1 root=x\n}\n":                                                      true, // a separate /boot
		"menuentry 'a' {\n\tlinux\t/boot/vmlinuz-6.5 root=x\n}\nmenuentry 'b' {\n\tlinux\t/boot/vmlinuz-6.1\n}\n": false,
		"set timeout=0\n": false,
	} {
		err := in.checkKernel(config)
		if (err == nil) != ok {
			t.Errorf("checkKernel = %v for\n%s", err, config)
		}
		if err != nil && (fault.KindOf(err) != fault.Precondition || !strings.Contains(err.Error(), "Kernel file mismatch between grub and the environment description")) {
			t.Errorf("checkKernel = %v", err)
		}
	}
}

func TestDefaults(t *testing.T) {
	got := Install{Params: "a='b c' console=ttyS1,9600n8", Initrd: "/initrd.img", RootLabel: "KDPL_DEPLOY_disk0"}.defaults(choices{menu: true, noUUID: true})
	for _, want := range []string{
		`GRUB_CMDLINE_LINUX='a='\''b c'\'' console=ttyS1,9600n8'`, "GRUB_DISABLE_OS_PROBER=true", "GRUB_DISABLE_LINUX_UUID=true", "GRUB_DEVICE='/dev/disk/by-partlabel/KDPL_DEPLOY_disk0'",
		"GRUB_ENABLE_BLSCFG=false",
		"GRUB_TIMEOUT=5", `GRUB_SERIAL_COMMAND="serial --unit=1 --speed=9600"`,
	} {
		if !strings.Contains(got, want+"\n") {
			t.Errorf("defaults lack %q:\n%s", want, got)
		}
	}
	if got := (Install{Params: "quiet", RootLabel: "x"}).defaults(choices{}); strings.Contains(got, "SERIAL") || strings.Contains(got, "GRUB_DEVICE") || !strings.Contains(got, "GRUB_TIMEOUT=0\n") {
		t.Errorf("defaults without a menu:\n%s", got)
	}
}

func TestGeneratorIsUsed(t *testing.T) {
	files := map[string]string{"etc/default/grub": "GRUB_TIMEOUT=9\n"}
	for path, content := range kernel {
		files[path] = content
	}
	in := system(t, files)
	if err := in.writeDefaults(choices{}); err != nil {
		t.Fatal(err)
	}
	if err := in.writeDefaults(choices{}); err != nil { // a second deployment step
		t.Fatal(err)
	}
	// This grub-mkconfig does not read the directory: the one file has it all, once.
	if main := read(t, in, "etc/default/grub"); !strings.HasPrefix(main, "GRUB_TIMEOUT=9\n# Kadeploy\n") || strings.Count(main, "GRUB_CMDLINE_LINUX=") != 1 {
		t.Errorf("/etc/default/grub:\n%s", main)
	}
}

func TestPutStaysInside(t *testing.T) {
	in, outside := system(t, kernel), t.TempDir()
	if err := os.Symlink(outside, filepath.Join(in.Root, "boot/grub")); err != nil {
		t.Fatal(err)
	}
	in.Run(t.Context()) // whether it fails is not the point
	if left, _ := os.ReadDir(outside); len(left) > 0 {
		t.Errorf("outside of the root: %v", left)
	}
}
