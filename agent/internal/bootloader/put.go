package bootloader

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path"

	"golang.org/x/sys/unix"

	"kadeploy/agent/internal/inroot"
)

// put writes a file of the system, whatever links lead there, in one move.
func (in Install) put(directory, name, text string) error {
	return in.putMode(directory, name, text, 0o644)
}

// putMode is put for a file that is more than text.
func (in Install) putMode(directory, name, text string, mode uint32) error {
	if err := in.makeDirectory(directory); err != nil {
		return fmt.Errorf("write %s/%s: %w", directory, name, err)
	}
	dir, err := inroot.Open(in.Root, directory, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	defer dir.Close()
	temporary := "." + name + ".new"
	unix.Unlinkat(int(dir.Fd()), temporary, 0) // left by an interrupted run
	fd, err := unix.Openat(int(dir.Fd()), temporary, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, mode)
	if err != nil {
		return fmt.Errorf("write %s/%s: %w", directory, name, err)
	}
	f := os.NewFile(uintptr(fd), temporary)
	_, err = io.WriteString(f, text)
	if err = errors.Join(err, f.Close()); err == nil {
		err = unix.Renameat(int(dir.Fd()), temporary, int(dir.Fd()), name)
	}
	if err != nil {
		unix.Unlinkat(int(dir.Fd()), temporary, 0)
		return fmt.Errorf("write %s/%s: %w", directory, name, err)
	}
	return nil
}

// makeDirectory makes a directory of the system, and those above it.
func (in Install) makeDirectory(directory string) error {
	if directory == "/" {
		return nil
	}
	if err := in.makeDirectory(path.Dir(directory)); err != nil {
		return err
	}
	parent, err := inroot.Open(in.Root, path.Dir(directory), unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	defer parent.Close()
	if err := unix.Mkdirat(int(parent.Fd()), path.Base(directory), 0o755); err != nil && err != unix.EEXIST {
		return err
	}
	return nil
}
