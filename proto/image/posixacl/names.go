package posixacl

import (
	"bufio"
	"io"
	"strconv"
	"strings"
)

// MaxNames bounds how much of etc/passwd and etc/group is read, in bytes.
const MaxNames = 4 << 20

// ReadIDs reads the lines name:password:number:... of passwd(5) and group(5).
func ReadIDs(r io.Reader) map[string]uint32 {
	ids := map[string]uint32{}
	lines := bufio.NewScanner(io.LimitReader(r, MaxNames))
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
