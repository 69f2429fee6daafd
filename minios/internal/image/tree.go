package image

import (
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"kadeploy/minios/internal/debian"
	"kadeploy/minios/internal/manifest"
)

// Entry is one file of the image. Everything belongs to root.
type Entry struct {
	Mode       uint32 // type and permission bits, as in stat(2)
	Disk       string // where the content is, or
	Content    []byte // the content, or the target of a symbolic link
	RMaj, RMin uint64 // of a device
}

// Tree is the image's files by path, without a leading slash.
type Tree struct {
	entries  map[string]Entry
	packages map[string]debian.Unpacked
	owners   map[string]string // path: package that has it
	exclude  []manifest.Pattern
}

// New makes a tree that can take files from the packages, but for what matches an exclude pattern.
func New(packages []debian.Unpacked, exclude []string) (*Tree, error) {
	t := &Tree{entries: map[string]Entry{}, packages: map[string]debian.Unpacked{}, owners: map[string]string{}}
	for _, p := range packages {
		t.packages[p.Name] = p
		for file := range p.Files {
			t.owners[file] = p.Name
		}
	}
	for _, text := range exclude {
		pattern, err := manifest.Compile(text)
		if err != nil {
			return nil, err
		}
		t.exclude = append(t.exclude, pattern)
	}
	for _, link := range []string{"bin", "sbin", "lib", "lib64"} {
		t.Symlink("/"+link, "usr/"+link)
	}
	return t, nil
}

// Take adds the files of a package that match one of the patterns. A pattern that matches nothing is an error.
func (t *Tree) Take(name string, patterns []string) error {
	p, ok := t.packages[name]
	if !ok {
		return fmt.Errorf("package %s is not among those that were resolved", name)
	}
	for _, text := range patterns {
		pattern, err := manifest.Compile("/" + mergedPattern(text))
		if err != nil {
			return err
		}
		found := false
		for file := range p.Files {
			if !pattern.Match("/" + file) {
				continue
			}
			found = true
			if t.excluded(file) {
				continue
			}
			if err := t.add(file); err != nil {
				return err
			}
		}
		if !found {
			return fmt.Errorf("package %s %s has no file that matches %s", name, p.Version, text)
		}
	}
	return nil
}

// mergedPattern applies usr-merge to the fixed beginning of a pattern.
func mergedPattern(text string) string {
	if strings.HasPrefix(strings.TrimPrefix(text, "/"), "*") {
		return strings.TrimPrefix(text, "/")
	}
	return debian.MergedPath(text)
}

func (t *Tree) excluded(file string) bool {
	for _, pattern := range t.exclude {
		if pattern.Match("/" + file) {
			return true
		}
	}
	return false
}

// add takes one file of any package; the target of a link comes along if a package has it.
func (t *Tree) add(file string) error {
	if _, ok := t.entries[file]; ok {
		return nil
	}
	p := t.packages[t.owners[file]]
	disk := p.Files[file]
	info, err := os.Lstat(disk)
	if err != nil {
		return fmt.Errorf("package %s: %w", p.Name, err)
	}
	switch info.Mode().Type() {
	case 0:
		t.entries[file] = Entry{Mode: unix.S_IFREG | permissions(info.Mode()), Disk: disk}
		return nil
	case fs.ModeSymlink:
		target, err := os.Readlink(disk)
		if err != nil {
			return fmt.Errorf("package %s: %w", p.Name, err)
		}
		// A relative target counts from where the package has the link, which may be outside /usr.
		if !path.IsAbs(target) {
			original, err := filepath.Rel(p.Root, disk)
			if err != nil {
				return err
			}
			target = path.Join("/", path.Dir(original), target)
		}
		target = debian.MergedPath(target)
		t.entries[file] = Entry{Mode: unix.S_IFLNK | 0o777, Content: []byte("/" + target)}
		if t.owners[target] != "" {
			return t.add(target)
		}
		return nil
	}
	return fmt.Errorf("package %s: %s is neither a file nor a link", p.Name, file)
}

func permissions(m fs.FileMode) uint32 {
	bits := uint32(m.Perm())
	if m&fs.ModeSetuid != 0 {
		bits |= unix.S_ISUID
	}
	if m&fs.ModeSetgid != 0 {
		bits |= unix.S_ISGID
	}
	if m&fs.ModeSticky != 0 {
		bits |= unix.S_ISVTX
	}
	return bits
}

// Has reports whether something is at an absolute path.
func (t *Tree) Has(p string) bool {
	_, ok := t.entries[debian.MergedPath(p)]
	return ok
}

// Disk tells where the content of an absolute path is on this machine, empty if it is in no package.
func (t *Tree) Disk(p string) string {
	file := debian.MergedPath(p)
	return t.packages[t.owners[file]].Files[file]
}

// File puts content at an absolute path.
func (t *Tree) File(p string, mode uint32, content []byte) {
	t.entries[debian.MergedPath(p)] = Entry{Mode: unix.S_IFREG | mode, Content: content}
}

// Copy puts a file of this machine at an absolute path.
func (t *Tree) Copy(p string, mode uint32, disk string) {
	t.entries[debian.MergedPath(p)] = Entry{Mode: unix.S_IFREG | mode, Disk: disk}
}

// Symlink puts a symbolic link at an absolute path.
func (t *Tree) Symlink(p, target string) {
	file := strings.TrimPrefix(path.Clean(p), "/")
	if strings.Contains(file, "/") {
		file = debian.MergedPath(file)
	}
	t.entries[file] = Entry{Mode: unix.S_IFLNK | 0o777, Content: []byte(target)}
}

// Directory makes an absolute path a directory.
func (t *Tree) Directory(p string, mode uint32) {
	t.entries[debian.MergedPath(p)] = Entry{Mode: unix.S_IFDIR | mode}
}

// CharDevice puts a character device at an absolute path.
func (t *Tree) CharDevice(p string, mode uint32, major, minor uint64) {
	t.entries[debian.MergedPath(p)] = Entry{Mode: unix.S_IFCHR | mode, RMaj: major, RMin: minor}
}

// Uses reports whether the image has a file of the package.
func (t *Tree) Uses(p debian.Unpacked) bool {
	for file, disk := range p.Files {
		if e, ok := t.entries[file]; ok && (e.Disk == disk || e.Mode&unix.S_IFMT == unix.S_IFLNK && t.owners[file] == p.Name) {
			return true
		}
	}
	return false
}
