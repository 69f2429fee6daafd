package imagecache

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// OpenBeneath opens a file for reading with the process's own rights if it is
// below one of some directories. Symbolic links are followed as long as they stay
// below it (openat2(2), RESOLVE_BENEATH). For any other path the error is
// fs.ErrPermission. A FIFO does not block it.
func OpenBeneath(directories []string, path string) (*os.File, error) {
	for _, dir := range directories {
		inside, err := filepath.Rel(dir, path)
		if err != nil || inside == "." || inside == ".." || strings.HasPrefix(inside, "../") {
			continue
		}
		return openBeneath(dir, inside, path)
	}
	return nil, &fs.PathError{Op: "open", Path: path, Err: fs.ErrPermission}
}

func openBeneath(dir, inside, path string) (*os.File, error) {
	at, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open the directory %s: %w", dir, err)
	}
	defer unix.Close(at)
	fd, err := unix.Openat2(at, inside, &unix.OpenHow{
		Flags:   unix.O_RDONLY | unix.O_NONBLOCK | unix.O_NOCTTY | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_MAGICLINKS,
	})
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	return os.NewFile(uintptr(fd), path), nil
}
