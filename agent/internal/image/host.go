package image

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"kadeploy/agent/internal/fault"
	"kadeploy/agent/internal/mountinfo"
)

// readUmask reads the process's file mode creation mask from proc_pid_status(5).
func readUmask(path string) (uint32, error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if value, ok := strings.CutPrefix(lines.Text(), "Umask:"); ok {
			mask, err := strconv.ParseUint(strings.TrimSpace(value), 8, 32)
			return uint32(mask), err
		}
	}
	return 0, errors.New("no Umask in " + path)
}

// deviceOf names the device that an open file's file system is on.
func deviceOf(fd int) string {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return "its file system"
	}
	number := fmt.Sprintf("%d:%d", unix.Major(st.Dev), unix.Minor(st.Dev))
	link, err := os.Readlink("/sys/dev/block/" + number)
	if err != nil {
		return "file system " + number
	}
	return "/dev/" + filepath.Base(link)
}

// clean empties a directory, and the file systems of disks that are mounted below
// it, which stay mounted: the system that is deployed may have several. It refuses
// the root of the running system, and what the kernel or a part of it is mounted below.
func clean(dir string) error {
	dir = filepath.Clean(dir)
	if dir == "/" {
		return fault.Invalidf("empty directory /: it is the running system")
	}
	mounts, err := mountinfo.Read()
	if err != nil {
		return err
	}
	keep := map[string]bool{} // mount points, and the directories that lead to them
	for _, m := range mountinfo.Below(mounts, dir) {
		if m.Point == dir {
			continue
		}
		if !strings.HasPrefix(m.Source, "/dev/") || m.Root != "/" {
			return fault.Preconditionf("empty directory %s: something is mounted on %s: unmount it first", dir, m.Point)
		}
		for p := m.Point; p != dir; p = filepath.Dir(p) {
			keep[p] = true
		}
	}
	if err := empty(dir, keep); err != nil {
		return fmt.Errorf("empty directory %s: %w", dir, err)
	}
	return nil
}

func empty(dir string, keep map[string]bool) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		path, do := filepath.Join(dir, e.Name()), os.RemoveAll
		if keep[path] {
			do = func(path string) error { return empty(path, keep) }
		}
		if err := do(path); err != nil {
			return err
		}
	}
	return nil
}
