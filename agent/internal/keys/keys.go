// Package keys writes the public keys that may log in as root to a system that is
// mounted below some directory, or to the running one.
package keys

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"kadeploy/agent/internal/fault"
	"kadeploy/agent/internal/inroot"
)

// Limits of a file of keys.
const maxKeys = 1 << 20

const directory, file = "/root/.ssh", "/root/.ssh/authorized_keys"

// Install writes authorized_keys lines: those that are missing are added, or the
// whole file is replaced. The file has mode 0600, its directory 0700.
func Install(root string, lines []byte, replace bool) error {
	if len(bytes.TrimSpace(lines)) == 0 {
		return fault.Invalidf("install keys: there are none")
	}
	if len(lines) > maxKeys {
		return fault.Invalidf("install keys: %d bytes are more than %d", len(lines), maxKeys)
	}
	if err := makeDirectory(root); err != nil {
		return fmt.Errorf("install keys below %s: %w", root, err)
	}
	old, err := read(root)
	if err != nil {
		return fmt.Errorf("install keys below %s: %w", root, err)
	}
	if replace {
		old = nil
	}
	if err := write(root, merge(old, lines)); err != nil {
		return fmt.Errorf("install keys below %s: %w", root, err)
	}
	return nil
}

// merge appends the lines that are not there yet.
func merge(old, lines []byte) []byte {
	have := make(map[string]bool)
	for line := range bytes.Lines(old) {
		have[string(bytes.TrimSpace(line))] = true
	}
	out := bytes.Clone(old)
	if len(out) > 0 && out[len(out)-1] != '\n' {
		out = append(out, '\n')
	}
	for line := range bytes.Lines(lines) {
		line = bytes.TrimSpace(line)
		if len(line) == 0 || have[string(line)] {
			continue
		}
		have[string(line)] = true
		out = append(append(out, line...), '\n')
	}
	return out
}

func makeDirectory(root string) error {
	for _, d := range []struct {
		path string
		mode uint32
	}{{"/root", 0o700}, {directory, 0o700}} {
		parent, err := inroot.Open(root, filepath.Dir(d.path), unix.O_RDONLY|unix.O_DIRECTORY, 0)
		if err != nil {
			return err
		}
		err = unix.Mkdirat(int(parent.Fd()), filepath.Base(d.path), d.mode)
		parent.Close()
		if err != nil && err != unix.EEXIST {
			return fmt.Errorf("make %s: %w", d.path, err)
		}
	}
	dir, err := inroot.Open(root, directory, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Chmod(0o700) // sshd refuses keys in a directory that others can write
}

func read(root string) ([]byte, error) {
	f, err := inroot.Open(root, file, unix.O_RDONLY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxKeys+1))
	if err == nil && len(text) > maxKeys {
		err = fmt.Errorf("%s has more than %d bytes", file, maxKeys)
	}
	return text, err
}

// write replaces the file in one move, so that a login meanwhile finds one or the other.
func write(root string, text []byte) (err error) {
	dir, err := inroot.Open(root, directory, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	defer dir.Close()
	const temporary = ".authorized_keys.new"
	unix.Unlinkat(int(dir.Fd()), temporary, 0) // left by an interrupted run
	fd, err := unix.Openat(int(dir.Fd()), temporary, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return fmt.Errorf("make %s: %w", temporary, err)
	}
	f := os.NewFile(uintptr(fd), temporary)
	_, err = f.Write(text)
	if serr := f.Sync(); err == nil {
		err = serr
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = unix.Renameat(int(dir.Fd()), temporary, int(dir.Fd()), filepath.Base(file))
	}
	if err != nil {
		unix.Unlinkat(int(dir.Fd()), temporary, 0)
		return fmt.Errorf("write %s: %w", file, err)
	}
	return nil
}
