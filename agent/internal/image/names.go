package image

import (
	"os"

	"golang.org/x/sys/unix"

	"kadeploy/proto/image/posixacl"
)

// names are the users and groups of the extracted system.
type names struct {
	users, groups map[string]uint32
}

func readNames(r *root) *names {
	return &names{users: readIDs(r, "etc/passwd"), groups: readIDs(r, "etc/group")}
}

func (n *names) id(kind uint16, name string) (uint32, bool) {
	table := n.users
	if kind == posixacl.Group {
		table = n.groups
	}
	id, ok := table[name]
	return id, ok
}

// readIDs reads passwd(5) or group(5).
// A file that is not there knows nobody.
func readIDs(r *root, name string) map[string]uint32 {
	fd, err := r.open(name, unix.O_RDONLY|unix.O_NONBLOCK)
	if err != nil {
		return nil
	}
	f := os.NewFile(uintptr(fd), name)
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil
	}
	return posixacl.ReadIDs(f)
}
