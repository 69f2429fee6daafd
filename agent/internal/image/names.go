package image

import (
	"bufio"
	"io"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// maxNames bounds how much of etc/passwd and etc/group is read.
const maxNames = 4 << 20

// names are the users and groups of the extracted system.
type names struct {
	users, groups map[string]uint32
}

func readNames(r *root) *names {
	return &names{users: readIDs(r, "etc/passwd"), groups: readIDs(r, "etc/group")}
}

func (n *names) id(kind uint16, name string) (uint32, bool) {
	table := n.users
	if kind == aclGroup {
		table = n.groups
	}
	id, ok := table[name]
	return id, ok
}

// readIDs reads the lines name:password:number:... of passwd(5) and group(5).
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
	ids := map[string]uint32{}
	lines := bufio.NewScanner(io.LimitReader(f, maxNames))
	for lines.Scan() {
		fields := strings.Split(lines.Text(), ":")
		if len(fields) < 3 {
			continue
		}
		if id, err := strconv.ParseUint(fields[2], 10, 32); err == nil {
			ids[fields[0]] = uint32(id)
		}
	}
	return ids
}
