// Package fstab adds to a deployed system's table of file systems (fstab(5)) what
// has no entry there. Entries that are there were put by the image or by a
// postinstall, which know better: they are left as they are.
package fstab

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"kadeploy/agent/internal/inroot"
)

// Entry is a file system, or swap space, that the system needs.
type Entry struct {
	UUID       string
	Names      []string // what else it may be called: /dev/vda3, PARTLABEL=..., ...
	Point      string   // where it is mounted; empty: swap space
	Filesystem string
	Options    string // empty: defaults
}

// maxSize is far more than a table has.
const maxSize = 1 << 20

const file = "/etc/fstab"

// Complete adds to the table of the system below root the entries that it lacks, and returns them.
func Complete(root string, entries []Entry) ([]string, error) {
	added, err := complete(root, entries)
	if err != nil {
		return nil, fmt.Errorf("complete %s of the deployed system: %w", file, err)
	}
	return added, nil
}

func complete(root string, entries []Entry) ([]string, error) {
	text, mode, err := read(root)
	if err != nil {
		return nil, err
	}
	added := Missing(text, entries)
	if len(added) == 0 {
		return nil, nil
	}
	if text != "" && !strings.HasSuffix(text, "\n") {
		text += "\n"
	}
	return added, write(root, text+strings.Join(added, "\n")+"\n", mode)
}

// Missing are the lines that a table lacks, parents before what is mounted in them.
func Missing(table string, entries []Entry) []string {
	specs, points := map[string]bool{}, map[string]bool{}
	for line := range strings.Lines(table) {
		fields := strings.Fields(line)
		if len(fields) < 2 || strings.HasPrefix(fields[0], "#") {
			continue
		}
		specs[strings.ReplaceAll(fields[0], `"`, "")] = true
		if point := unescape(fields[1]); strings.HasPrefix(point, "/") {
			points[path.Clean(point)] = true
		}
	}
	var lines []string
	for _, e := range entries {
		there := points[e.Point]
		if e.Point == "" {
			there = slices.ContainsFunc(append(e.Names, "UUID="+e.UUID), func(n string) bool { return specs[n] })
		}
		if !there {
			lines = append(lines, e.line())
		}
	}
	return lines
}

// line is the entry as fstab(5) has it. The last number is when the file system is
// checked at boot: the root first, others after it; some are never checked that way.
func (e Entry) line() string {
	point, options, pass := escape(e.Point), e.Options, 2
	if options == "" {
		options = "defaults"
	}
	switch {
	case e.Point == "":
		point, pass = "none", 0
		if e.Options == "" {
			options = "sw"
		}
	case e.Point == "/":
		pass = 1
	}
	if e.Filesystem == "xfs" || e.Filesystem == "btrfs" {
		pass = 0
	}
	return fmt.Sprintf("UUID=%s %s %s %s 0 %d", e.UUID, point, e.Filesystem, options, pass)
}

var (
	unescaper = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)
	escaper   = strings.NewReplacer(" ", `\040`, "\t", `\011`, "\n", `\012`, `\`, `\134`)
)

func unescape(s string) string { return unescaper.Replace(s) }
func escape(s string) string   { return escaper.Replace(s) }

// read reads the table; one that is not there is empty.
func read(root string) (text string, mode uint32, err error) {
	f, err := inroot.Open(root, file, unix.O_RDONLY|unix.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return "", 0o644, nil
	}
	if err != nil {
		return "", 0, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", 0, err
	}
	if !info.Mode().IsRegular() {
		return "", 0, errors.New("it is no regular file")
	}
	b, err := io.ReadAll(io.LimitReader(f, maxSize+1))
	if err == nil && len(b) > maxSize {
		err = fmt.Errorf("it has more than %d bytes", maxSize)
	}
	return string(b), uint32(info.Mode().Perm()), err
}

// write replaces the table: an interrupted write leaves the old one.
func write(root, text string, mode uint32) error {
	dir, err := inroot.Open(root, path.Dir(file), unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	defer dir.Close()
	at, name, temporary := int(dir.Fd()), path.Base(file), ".fstab.kadeploy"
	unix.Unlinkat(at, temporary, 0) // left by an interrupted run
	fd, err := unix.Openat(at, temporary, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, mode)
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(fd), temporary)
	_, err = f.WriteString(text)
	if err = errors.Join(err, f.Chmod(fs.FileMode(mode)), f.Sync(), f.Close()); err == nil {
		err = unix.Renameat(at, temporary, at, name)
	}
	if err != nil {
		unix.Unlinkat(at, temporary, 0)
	}
	return err
}
