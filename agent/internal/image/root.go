package image

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"kadeploy/agent/internal/fault"
)

// maxDirs is how many directories are kept open to save their resolution.
const maxDirs = 128

// root is the directory that everything is created below. Every path of the
// archive is resolved by the kernel as if root were "/" (openat2(2),
// RESOLVE_IN_ROOT): no link and no ".." leads out of it. It is used by one
// goroutine.
type root struct {
	path string
	fd   int
	dirs map[string]*dir // open directories by cleaned path

	stale bool // something was removed: paths may lead elsewhere now
}

// dir is an open directory (O_PATH).
type dir struct {
	fd int
	// plain: a file made in it belongs to 0:0 and has the mode asked for,
	// as no set-group-ID bit and no default ACL interfere.
	plain bool
}

// openRoot opens an existing directory. Write errors of its file system are
// reported by syncfs(2) on it from now on.
func openRoot(dirPath string) (*root, error) {
	fd, err := unix.Open(dirPath, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) {
			return nil, fault.Preconditionf("open directory %s to extract into: %w", dirPath, err)
		}
		return nil, fmt.Errorf("open directory %s to extract into: %w", dirPath, err)
	}
	return &root{path: dirPath, fd: fd, dirs: map[string]*dir{}}, nil
}

// close closes the root; closing it again does nothing.
func (r *root) close() {
	r.forget()
	if r.fd >= 0 {
		unix.Close(r.fd)
		r.fd = -1
	}
}

// forget closes all open directories.
func (r *root) forget() {
	for _, d := range r.dirs {
		unix.Close(d.fd)
	}
	clear(r.dirs)
	r.stale = false
}

// trim drops directories that may be stale, or too many. The dirs handed out
// before are invalid after it, so it is called between entries only.
func (r *root) trim() {
	if r.stale || len(r.dirs) > maxDirs {
		r.forget()
	}
}

// cleanName turns an archive's name into a path relative to the root: "." for
// the root itself. Names that climb with ".." are refused, as GNU tar does.
func cleanName(name string) (string, error) {
	for part := range strings.SplitSeq(name, "/") {
		if part == ".." {
			return "", fault.Invalidf("name %q contains \"..\"", name)
		}
	}
	if strings.IndexByte(name, 0) >= 0 {
		return "", fault.Invalidf("name %q contains a zero byte", name)
	}
	return path.Clean("./" + strings.TrimLeft(name, "/")), nil
}

// open resolves a cleaned path inside the root.
func (r *root) open(name string, flags int) (int, error) {
	for {
		fd, err := unix.Openat2(r.fd, name, &unix.OpenHow{
			Flags:   uint64(flags | unix.O_CLOEXEC),
			Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS,
		})
		if err != unix.EAGAIN && err != unix.EINTR {
			return fd, err
		}
	}
}

// dir returns the directory at a cleaned path, which is made, with all above
// it, if it does not exist: archives may lack entries for directories.
func (r *root) dir(name string) (*dir, error) {
	d, err := r.existing(name)
	if !errors.Is(err, unix.ENOENT) || name == "." {
		return d, err
	}
	parent, base, err := r.parent(name)
	if err != nil {
		return nil, err
	}
	if err := unix.Mkdirat(parent.fd, base, 0o755); err != nil && err != unix.EEXIST {
		return nil, &fs.PathError{Op: "make directory", Path: name, Err: err}
	}
	return r.existing(name)
}

// existing returns the directory at a cleaned path.
func (r *root) existing(name string) (*dir, error) {
	if d := r.dirs[name]; d != nil {
		return d, nil
	}
	fd, err := r.open(name, unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return nil, &fs.PathError{Op: "open directory", Path: name, Err: err}
	}
	d := &dir{fd: fd}
	d.plain, err = isPlain(fd)
	if err != nil {
		unix.Close(fd)
		return nil, &fs.PathError{Op: "examine directory", Path: name, Err: err}
	}
	r.dirs[name] = d
	return d, nil
}

// parent returns the directory that holds name, and name's last component.
func (r *root) parent(name string) (*dir, string, error) {
	d, err := r.dir(path.Dir(name))
	return d, path.Base(name), err
}

func isPlain(fd int) (bool, error) {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return false, err
	}
	if st.Gid != 0 || st.Mode&unix.S_ISGID != 0 {
		return false, nil
	}
	_, err := unix.Getxattr(procPath(fd), "system.posix_acl_default", nil)
	return err == unix.ENODATA || err == unix.ENOTSUP, nil
}

// remove takes away what is at base in d, to make room: anything but a
// directory that is not empty.
func (r *root) remove(d *dir, base string) error {
	r.stale = true // other paths may have led through it
	err := unix.Unlinkat(d.fd, base, 0)
	if err == unix.EISDIR {
		err = unix.Unlinkat(d.fd, base, unix.AT_REMOVEDIR)
	}
	return annotate("make room", err)
}

// procPath names an open file for system calls that lack a descriptor form.
func procPath(fd int) string { return fmt.Sprintf("/proc/self/fd/%d", fd) }
