package main

import (
	"debug/elf"
	"io"
	"os"
	"path/filepath"
	"testing"

	"kadeploy/agent/internal/mountinfo"
)

// A copy of the test itself is the program that runs inside: it is static, unless it was built with the race detector.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "inside" {
		if _, err := os.Stat("/proc/self/exe"); err != nil {
			os.Exit(9)
		}
		os.Exit(7)
	}
	os.Exit(m.Run())
}

func TestChroot(t *testing.T) {
	if dynamic(t, "/proc/self/exe") {
		t.Skip("this test was linked dynamically, as the race detector needs it: its copy finds no libraries inside")
	}
	root := t.TempDir()
	if err := os.MkdirAll(filepath.Join(root, "bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	self, err := os.Open("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	defer self.Close()
	copied, err := os.OpenFile(filepath.Join(root, "bin/program"), os.O_CREATE|os.O_WRONLY, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(copied, self); err != nil {
		t.Fatal(err)
	}
	copied.Close()
	for _, c := range []struct {
		words  []string
		status int
		fails  bool
	}{
		{[]string{"program", "inside"}, 7, false},
		{[]string{"/bin/program", "inside"}, 7, false},
		{[]string{"none"}, 127, true},
		{[]string{"/bin/none"}, 1, true},
	} {
		status, err := enter(root, c.words)
		if status != c.status || (err != nil) != c.fails {
			t.Errorf("%q: status %d, %v; want %d", c.words, status, err, c.status)
		}
		mounts, err := mountinfo.Read()
		if err != nil || len(mountinfo.Below(mounts, root)) > 0 {
			t.Errorf("%q: left mounted: %v, %v", c.words, mountinfo.Below(mounts, root), err)
		}
	}
	if status, err := enter("/", []string{"true"}); status != 2 || err == nil {
		t.Errorf("/: status %d, %v", status, err)
	}
}

// dynamic says whether a program needs the dynamic linker.
func dynamic(t *testing.T, path string) bool {
	t.Helper()
	program, err := elf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer program.Close()
	for _, p := range program.Progs {
		if p.Type == elf.PT_INTERP {
			return true
		}
	}
	return false
}
