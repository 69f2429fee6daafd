package extfs

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"kadeploy/proto/image/posixacl"
)

// Keys of extended attributes in PAX headers, and the ACLs' names.
const (
	paxXattr      = "SCHILY.xattr."
	paxACLAccess  = "SCHILY.acl.access"
	paxACLDefault = "SCHILY.acl.default"
	paxSELinux    = "RHT.security.selinux"

	aclAccess  = "system.posix_acl_access"
	aclDefault = "system.posix_acl_default"
)

// namedACL is an access control list, in text, that names users or groups.
type namedACL struct{ xattr, text string }

// attributes gives an inode what the header says beside its content. Owners are
// the header's numbers: names belong to the machine that made the archive.
func (t *tree) attributes(n *inode, h *tar.Header) error {
	if int64(h.Uid) < 0 || int64(h.Uid) >= 1<<32-1 || int64(h.Gid) < 0 || int64(h.Gid) >= 1<<32-1 {
		return fmt.Errorf("owner %d:%d is out of range", h.Uid, h.Gid)
	}
	n.uid, n.gid, n.mtime, n.given = uint32(h.Uid), uint32(h.Gid), h.ModTime, true
	n.mode = n.kind() | uint32(h.Mode&0o7777)
	if n.kind() == unix.S_IFLNK {
		n.mode = unix.S_IFLNK | 0o777
	}
	for key, value := range h.PAXRecords {
		err := t.remember(len(key) + len(value))
		if err != nil {
			return err
		}
		switch {
		case strings.HasPrefix(key, paxXattr):
			err = n.set(strings.TrimPrefix(key, paxXattr), []byte(value))
		case key == paxSELinux:
			err = n.set("security.selinux", append([]byte(value), 0))
		case key == paxACLAccess:
			err = t.setACL(n, aclAccess, value)
		case key == paxACLDefault:
			err = t.setACL(n, aclDefault, value)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (t *tree) setACL(n *inode, name, text string) error {
	if strings.TrimSpace(text) == "" {
		return nil
	}
	value, err := posixacl.Encode(text, func(uint16, string) (uint32, bool) { return 0, false })
	if errors.Is(err, posixacl.ErrNamedID) {
		n.acls = append(n.acls, namedACL{name, text})
		t.named, n.hasACL = true, true
		return nil
	}
	if err != nil {
		return err
	}
	return n.set(name, value)
}

// set does what setxattr(2) does on ext4, and refuses what that refuses.
func (n *inode) set(name string, value []byte) error {
	if name == aclAccess || name == aclDefault {
		return n.applyACL(name, value)
	}
	prefix, rest, _ := strings.Cut(name, ".")
	switch {
	case rest == "" || len(rest) > 255:
		return fmt.Errorf("extended attribute %q: no such name", name)
	case prefix == "user" && n.kind() != unix.S_IFREG && !n.isDir():
		return fmt.Errorf("extended attribute %s: only regular files and directories have such", name)
	case prefix != "user" && prefix != "trusted" && prefix != "security":
		return fmt.Errorf("extended attribute %s: not supported by ext4", name)
	}
	n.setRaw(name, value)
	return nil
}

func (n *inode) setRaw(name string, value []byte) {
	if n.xattrs == nil {
		n.xattrs = map[string][]byte{}
	}
	n.xattrs[name] = value
}

// applyACL stores a list, and puts what it says of owner, mask and others into
// the mode; a list that says nothing else is not stored.
func (n *inode) applyACL(name string, value []byte) error {
	if n.kind() == unix.S_IFLNK || name == aclDefault && !n.isDir() {
		return fmt.Errorf("%s: this type of file has none", name)
	}
	list, err := posixacl.Decode(value)
	if err == nil {
		err = valid(list)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	n.hasACL = true
	if name == aclAccess {
		mode, whole := modeOf(list)
		n.mode = n.mode&^0o777 | mode
		if whole {
			delete(n.xattrs, name)
			return nil
		}
	}
	n.setRaw(name, diskACL(list))
	return nil
}

// valid checks a list as the kernel does (posix_acl_valid): owner, named users,
// owning group, named groups, mask, others, each once; a mask if names are there.
func valid(list []posixacl.Entry) error {
	count, last := map[uint16]int{}, uint16(0)
	for _, e := range list {
		if e.Tag < last || e.Perm > 7 {
			return errors.New("entries are not in order")
		}
		last = e.Tag
		count[e.Tag]++
	}
	named := count[posixacl.User] + count[posixacl.Group]
	if count[posixacl.UserObj] != 1 || count[posixacl.GroupObj] != 1 || count[posixacl.Other] != 1 ||
		count[posixacl.Mask] > 1 || named > 0 && count[posixacl.Mask] == 0 ||
		named+3+count[posixacl.Mask] != len(list) {
		return errors.New("not a valid access control list")
	}
	return nil
}

// modeOf is what a list says of the permission bits, and whether that is all.
func modeOf(list []posixacl.Entry) (mode uint32, whole bool) {
	whole = true
	for _, e := range list {
		switch e.Tag {
		case posixacl.UserObj:
			mode |= uint32(e.Perm) << 6
		case posixacl.GroupObj:
			mode |= uint32(e.Perm) << 3
		case posixacl.Other:
			mode |= uint32(e.Perm)
		default:
			whole = false
		}
	}
	if i := slices.IndexFunc(list, func(e posixacl.Entry) bool { return e.Tag == posixacl.Mask }); i >= 0 {
		mode = mode&^0o070 | uint32(list[i].Perm)<<3
	}
	return mode, whole
}

// settle resolves the lists that name users of the image, and collects what is in use.
func (t *tree) settle() error {
	seen := map[*inode]bool{}
	var collect func(d *inode)
	collect = func(d *inode) {
		for _, name := range sortedNames(d) {
			n := d.children[name]
			if seen[n] {
				continue
			}
			seen[n] = true
			t.inodes = append(t.inodes, n)
			if n.isDir() {
				collect(n)
			}
		}
	}
	collect(t.root)
	if !t.named {
		return nil
	}
	users, err := t.ids("etc/passwd")
	if err != nil {
		return err
	}
	groups, err := t.ids("etc/group")
	if err != nil {
		return err
	}
	for _, n := range append(t.inodes, t.root) {
		for _, acl := range n.acls {
			value, err := posixacl.Encode(acl.text, func(kind uint16, name string) (uint32, bool) {
				table := users
				if kind == posixacl.Group {
					table = groups
				}
				id, ok := table[name]
				return id, ok
			})
			if err != nil {
				return fmt.Errorf("%w (in etc/passwd and etc/group of the image)", err)
			}
			if err := n.set(acl.xattr, value); err != nil {
				return err
			}
		}
	}
	return nil
}

// ids reads a file of users or groups of the image; one that is not there knows nobody.
func (t *tree) ids(name string) (map[string]uint32, error) {
	n, err := t.find(name)
	if err != nil {
		return nil, nil
	}
	if n.kind() != unix.S_IFREG || n.size > 0 && n.content == nil {
		return nil, unsuitable("access control lists name users, and %s of the image is not a plain file", name)
	}
	return posixacl.ReadIDs(bytes.NewReader(n.content)), nil
}
