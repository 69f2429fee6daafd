package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"kadeploy/coordinator/internal/tree"
)

// loader collects what is found while a directory is read.
type loader struct {
	dir      string
	problems []Problem
	warnings []Problem
}

func (l *loader) problem(p Problem) { l.problems = append(l.problems, p) }

// file is one file that is being read.
type file struct {
	*tree.Document
	l    *loader
	name string
}

// open reads the first of the named files that exists. nil: the problem has been noted.
func (l *loader) open(names ...string) *file {
	for i, name := range names {
		data, err := os.ReadFile(l.abs(name))
		if errors.Is(err, fs.ErrNotExist) && i < len(names)-1 {
			continue
		}
		if errors.Is(err, fs.ErrNotExist) {
			l.problem(Problem{File: names[0], Reason: fmt.Sprintf("The file does not exist in %s: create it, or name another directory", l.dir)})
			return nil
		}
		return l.parse(name, data, err)
	}
	return nil
}

// optional reads a file that may be missing: nil then.
func (l *loader) optional(name string) *file {
	data, err := os.ReadFile(l.abs(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return l.parse(name, data, err)
}

func regular(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

func (l *loader) parse(name string, data []byte, err error) *file {
	var doc *tree.Document
	if err == nil {
		doc, err = tree.Parse(data)
	}
	if err != nil {
		l.problem(Problem{File: name, Reason: err.Error()})
		return nil
	}
	return &file{Document: doc, l: l, name: name}
}

// close hands over what was found in the file.
func (f *file) close() {
	for _, p := range f.Problems() {
		f.l.problem(Problem{f.name, p.Line, p.Path, p.Reason})
	}
	for _, p := range f.Unused() {
		f.l.warnings = append(f.l.warnings, Problem{f.name, p.Line, "", fmt.Sprintf("Unused field '%s'", p.Path)})
	}
}

// warn notes something at a field that works, but not as one may think.
func (f *file) warn(n *tree.Node, format string, args ...any) {
	f.l.warnings = append(f.l.warnings, Problem{f.name, n.Line(), n.Path(), fmt.Sprintf(format, args...)})
}

// without notes fields of the original that have no effect here, if they are given.
func (f *file) without(parent *tree.Node, why string, keys ...string) {
	for _, key := range keys {
		if n := parent.Get(key); n.Exists() {
			f.warn(n, "The field has no effect: %s", why)
		}
	}
}

func (l *loader) abs(path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(l.dir, path)
}

// path is a file name, relative to the directory of the configuration.
func (l *loader) path(n *tree.Node, otherwise string) string {
	if p := n.String(otherwise); p != "" {
		return l.abs(p)
	}
	return ""
}

// existing is the path of a file that must be there; "" if none is named.
func (l *loader) existing(n *tree.Node) string {
	path := l.path(n, "")
	if path == "" {
		return ""
	}
	if info, err := os.Stat(path); err != nil {
		n.Fail("%v: create the file or correct the path", err)
	} else if info.IsDir() {
		n.Fail("%s is a directory, a file is needed", path)
	}
	return path
}

// directory is the path of a directory that must be there; "" if none is named.
func (l *loader) directory(n *tree.Node) string {
	path := l.path(n, "")
	if path == "" {
		return ""
	}
	if info, err := os.Stat(path); err != nil {
		n.Fail("%v: create the directory or correct the path", err)
	} else if !info.IsDir() {
		n.Fail("%s is a file, a directory is needed", path)
	}
	return path
}

// directories are those of a list, all of which must be there.
func (l *loader) directories(list *tree.Node) []string {
	var all []string
	for _, n := range list.Items() {
		if path := l.directory(n); path != "" {
			all = append(all, filepath.Clean(path))
		}
	}
	return all
}

// content is what a named file holds; nil if none is named.
func (l *loader) content(n *tree.Node) []byte {
	path := l.path(n, "")
	if path == "" {
		return nil
	}
	data, err := os.ReadFile(path)
	if err != nil {
		n.Fail("%v: create the file or correct the path", err)
	} else if len(data) == 0 {
		n.Fail("%s is empty: leave the field out for the built-in way", path)
	}
	return data
}

// command is a command line for the server's shell. If its first word is the
// path of a file, that must be executable.
func (l *loader) command(n *tree.Node) string {
	line := n.String("")
	word, _, _ := strings.Cut(strings.TrimSpace(line), " ")
	if !filepath.IsAbs(word) {
		return line
	}
	if info, err := os.Stat(word); err == nil && info.Mode().Perm()&0o111 == 0 {
		n.Fail("%s is not executable: chmod +x it", word)
	}
	return line
}
