package bootloader

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestShortcutAnswersAsUdevadm compares the script with the program on each block device of this machine.
func TestShortcutAnswersAsUdevadm(t *testing.T) {
	real, err := exec.LookPath("udevadm")
	if err != nil {
		t.Skip("this machine has no udevadm")
	}
	script := filepath.Join(t.TempDir(), "udevadm")
	if err := os.WriteFile(script, []byte(udevadm), 0o755); err != nil {
		t.Fatal(err)
	}
	names := []string{"/dev/null", "/dev/none", "/dev/disk/none"}
	devices, err := filepath.Glob("/sys/class/block/*")
	if err != nil || len(devices) == 0 {
		t.Fatalf("%d block devices, %v", len(devices), err)
	}
	compared := 0
	for _, d := range devices {
		if name := "/dev/" + filepath.Base(d); !strings.Contains(name, "!") {
			if _, err := os.Stat(name); err == nil {
				names = append(names, name)
				compared++
			}
		}
	}
	if compared == 0 {
		t.Fatal("no device of /sys/class/block is in /dev")
	}
	for _, name := range names {
		for _, args := range [][]string{{"info", "--query", "path", "--name", name}, {"info", "--query=property", "--name", name}} {
			want, werr := exec.Command(real, args...).Output()
			got, gerr := exec.Command(script, args...).Output()
			if !bytes.Equal(got, want) || (gerr == nil) != (werr == nil) {
				t.Errorf("udevadm %s: the script %q, %v; the program %q, %v", strings.Join(args, " "), got, gerr, want, werr)
			}
		}
	}
}

func TestShortcutsAreTakenAway(t *testing.T) {
	root := t.TempDir()
	if err := os.Mkdir(filepath.Join(root, "run"), 0o755); err != nil {
		t.Fatal(err)
	}
	undo, err := Install{Root: root}.layShortcuts()
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(filepath.Join(root, shortcuts, "udevadm")); err != nil || info.Mode().Perm()&0o111 == 0 {
		t.Errorf("the script: %v, %v", info, err)
	}
	if err := undo(); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(filepath.Join(root, "run")); err != nil || len(left) != 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}
