// Package inroot reaches files of a system that is mounted below some directory,
// as that system itself would: links, absolute ones too, are followed inside of it
// and never lead out. The kernel does the resolving (openat2(2), RESOLVE_IN_ROOT).
package inroot

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Open opens a path as seen from inside root. flags are those of open(2).
func Open(root, path string, flags int, mode uint32) (*os.File, error) {
	dir, err := unix.Open(root, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open root %s: %w", root, err)
	}
	defer unix.Close(dir)
	how := unix.OpenHow{Flags: uint64(flags | unix.O_CLOEXEC), Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS}
	if flags&(unix.O_CREAT|unix.O_TMPFILE) != 0 {
		how.Mode = uint64(mode)
	}
	fd, err := unix.Openat2(dir, path, &how)
	if err != nil {
		return nil, fmt.Errorf("open %s below %s: %w", path, root, err)
	}
	return os.NewFile(uintptr(fd), filepath.Join(root, path)), nil
}

// Resolve follows all links of a path as seen from inside root, and returns where
// it ends, again as seen from inside: /vmlinuz becomes /boot/vmlinuz-6.1.0.
func Resolve(root, path string) (string, error) {
	base, err := realPath(root, ".")
	if err != nil {
		return "", err
	}
	full, err := realPath(root, path)
	if err != nil {
		return "", err
	}
	inside := strings.TrimPrefix(full, strings.TrimSuffix(base, "/"))
	if inside == "" {
		inside = "/"
	}
	return inside, nil
}

// realPath is the kernel's own name of what a path leads to.
func realPath(root, path string) (string, error) {
	f, err := Open(root, path, unix.O_PATH, 0)
	if err != nil {
		return "", err
	}
	defer f.Close()
	name, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", f.Fd()))
	if err != nil {
		return "", fmt.Errorf("resolve %s below %s: %w", path, root, err)
	}
	return name, nil
}
