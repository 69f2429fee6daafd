package image

import (
	"archive/tar"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"kadeploy/proto/image/posixacl"
)

// attrs is what an archive says of an inode, beside its content.
type attrs struct {
	uid, gid int
	mode     uint32 // permission bits with set-user-ID, set-group-ID and sticky
	mtime    time.Time
	xattrs   []xattr
	acls     []namedACL // ACLs that can be resolved only when all is extracted
}

type xattr struct {
	name  string
	value []byte
}

// namedACL is an ACL in text form that names users or groups.
type namedACL struct{ xattr, text string }

// Keys of extended attributes in PAX headers.
const (
	paxXattr      = "SCHILY.xattr."
	paxACLAccess  = "SCHILY.acl.access"
	paxACLDefault = "SCHILY.acl.default"
	paxSELinux    = "RHT.security.selinux"

	xattrACLAccess  = "system.posix_acl_access"
	xattrACLDefault = "system.posix_acl_default"
)

// attrsOf reads an entry's header. Owners are the header's numbers: names
// belong to the machine that made the archive.
func attrsOf(h *tar.Header) (attrs, error) {
	a := attrs{uid: h.Uid, gid: h.Gid, mode: uint32(h.Mode & 0o7777), mtime: h.ModTime}
	for key, value := range h.PAXRecords {
		switch {
		case strings.HasPrefix(key, paxXattr):
			a.xattrs = append(a.xattrs, xattr{strings.TrimPrefix(key, paxXattr), []byte(value)})
		case key == paxSELinux:
			a.xattrs = append(a.xattrs, xattr{"security.selinux", append([]byte(value), 0)})
		case key == paxACLAccess:
			if err := a.addACL(xattrACLAccess, value); err != nil {
				return a, err
			}
		case key == paxACLDefault:
			if err := a.addACL(xattrACLDefault, value); err != nil {
				return a, err
			}
		}
	}
	return a, nil
}

func (a *attrs) addACL(name, text string) error {
	if strings.TrimSpace(text) == "" {
		return nil
	}
	value, err := posixacl.Encode(text, func(uint16, string) (uint32, bool) { return 0, false })
	if errors.Is(err, posixacl.ErrNamedID) {
		a.acls = append(a.acls, namedACL{name, text})
		return nil
	}
	if err != nil {
		return err
	}
	a.xattrs = append(a.xattrs, xattr{name, value})
	return nil
}

// applyFd sets everything on an open file. The order matters: changing the owner
// clears set-user-ID bits and capabilities, and whatever is done last but one
// must not touch the time.
func (a *attrs) applyFd(fd int, have state) error {
	if !have.owner || a.uid != 0 || a.gid != 0 {
		if err := unix.Fchown(fd, a.uid, a.gid); err != nil {
			return fmt.Errorf("set owner %d:%d: %w", a.uid, a.gid, err)
		}
	}
	if !have.mode {
		if err := unix.Fchmod(fd, a.mode); err != nil {
			return fmt.Errorf("set mode %o: %w", a.mode, err)
		}
	}
	for _, x := range a.xattrs {
		if err := unix.Fsetxattr(fd, x.name, x.value, 0); err != nil {
			return fmt.Errorf("set extended attribute %s: %w", x.name, err)
		}
	}
	tv := a.times()
	if err := unix.UtimesNanoAt(fd, "", tv[:], unix.AT_EMPTY_PATH); err != nil {
		return fmt.Errorf("set modification time: %w", err)
	}
	return nil
}

// state says which attributes an inode already has as asked.
type state struct{ owner, mode bool }

// applyAt sets everything on what is at base in d: anything but a regular file,
// which may be a symbolic link, and is never followed.
func (a *attrs) applyAt(d *dir, base string, isLink bool) error {
	if err := unix.Fchownat(d.fd, base, a.uid, a.gid, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return fmt.Errorf("set owner %d:%d: %w", a.uid, a.gid, err)
	}
	if !isLink {
		if err := unix.Fchmodat(d.fd, base, a.mode, 0); err != nil {
			return fmt.Errorf("set mode %o: %w", a.mode, err)
		}
	}
	if len(a.xattrs) > 0 {
		if err := a.setXattrsAt(d, base); err != nil {
			return err
		}
	}
	tv := a.times()
	if err := unix.UtimesNanoAt(d.fd, base, tv[:], unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return fmt.Errorf("set modification time: %w", err)
	}
	return nil
}

func (a *attrs) setXattrsAt(d *dir, base string) error {
	fd, err := unix.Openat(d.fd, base, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return &fs.PathError{Op: "open", Path: base, Err: err}
	}
	defer unix.Close(fd)
	for _, x := range a.xattrs {
		if err := unix.Setxattr(procPath(fd), x.name, x.value, 0); err != nil {
			return fmt.Errorf("set extended attribute %s: %w", x.name, err)
		}
	}
	return nil
}

// times leaves the access time at "now", as GNU tar does.
func (a *attrs) times() [2]unix.Timespec {
	return [2]unix.Timespec{{Nsec: unix.UTIME_NOW}, timespec(a.mtime)}
}

func timespec(t time.Time) unix.Timespec {
	return unix.Timespec{Sec: t.Unix(), Nsec: int64(t.Nanosecond())}
}
