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

// clean empties a directory. It refuses the root of the running system, and
// directories below which something is mounted.
func clean(dir string) error {
	if filepath.Clean(dir) == "/" {
		return fault.Invalidf("empty directory /: it is the running system")
	}
	top, err := deviceNumber(dir)
	if err != nil {
		return fault.Preconditionf("empty directory %s: %w", dir, err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("empty directory: %w", err)
	}
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		err := filepath.WalkDir(path, func(p string, d os.DirEntry, err error) error {
			if err != nil || !d.IsDir() {
				return err
			}
			dev, err := deviceNumber(p)
			if err == nil && dev != top {
				err = fault.Preconditionf("something is mounted on %s: unmount it first", p)
			}
			return err
		})
		if err == nil {
			err = os.RemoveAll(path)
		}
		if err != nil {
			return fmt.Errorf("empty directory %s: %w", dir, err)
		}
	}
	return nil
}

func deviceNumber(path string) (uint64, error) {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return 0, &os.PathError{Op: "examine", Path: path, Err: err}
	}
	return st.Dev, nil
}
