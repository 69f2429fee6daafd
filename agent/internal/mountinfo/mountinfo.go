// Package mountinfo reads what is mounted where, from the kernel's table in
// /proc/self/mountinfo (proc_pid_mountinfo(5)). It mounts and unmounts nothing.
package mountinfo

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strings"
)

// Mount is one line of the table.
type Mount struct {
	Device     string // MAJOR:MINOR
	Root       string // directory of the file system that is mounted
	Point      string // where
	Filesystem string
	Source     string // /dev/vda3, tmpfs, ...
}

// Read returns the mounts of this process, oldest first.
func Read() ([]Mount, error) {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("read mounts: %w", err)
	}
	defer f.Close()
	mounts, err := Parse(f)
	if err != nil {
		return nil, fmt.Errorf("read mounts: %w", err)
	}
	return mounts, nil
}

// Parse reads a table.
func Parse(r io.Reader) ([]Mount, error) {
	var mounts []Mount
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		m, err := parseLine(lines.Text())
		if err != nil {
			return nil, err
		}
		mounts = append(mounts, m)
	}
	return mounts, lines.Err()
}

// parseLine reads one line, such as
//
//	36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue
func parseLine(line string) (Mount, error) {
	mount, source, ok := strings.Cut(line, " - ")
	m, s := strings.Fields(mount), strings.Fields(source)
	if !ok || len(m) < 6 || len(s) < 1 {
		return Mount{}, fmt.Errorf("not a line of a mount table: %q", line)
	}
	out := Mount{Device: m[2], Root: unescape(m[3]), Point: unescape(m[4]), Filesystem: s[0]}
	if len(s) > 1 {
		out.Source = unescape(s[1])
	}
	return out, nil
}

// unescape undoes the kernel's octal escapes of space, tab, newline and backslash.
func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) && isOctal(s[i+1]) && isOctal(s[i+2]) && isOctal(s[i+3]) {
			b.WriteByte((s[i+1]-'0')<<6 | (s[i+2]-'0')<<3 | (s[i+3] - '0'))
			i += 3
			continue
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

func isOctal(c byte) bool { return c >= '0' && c <= '7' }

// Below returns the mounts at dir and below it, in the table's order. dir is
// a clean absolute path without links.
func Below(mounts []Mount, dir string) []Mount {
	var out []Mount
	for _, m := range mounts {
		if m.Point == dir || dir == "/" || strings.HasPrefix(m.Point, dir+"/") {
			out = append(out, m)
		}
	}
	return out
}
