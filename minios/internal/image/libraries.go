package image

import (
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"
)

// where Debian's loader looks, in its order.
var libraryDirectories = [...]string{"usr/lib/x86_64-linux-gnu", "usr/lib"}

// AddLibraries adds what the programs of the tree need to be loaded: their
// interpreter and, transitively, each library that a DT_NEEDED entry names
// (ELF, System V ABI chapter 5). more are sonames that programs open by themselves.
func (t *Tree) AddLibraries(more []string) error {
	for _, soname := range more {
		if err := t.addLibrary(soname, nil, "the manifest"); err != nil {
			return err
		}
	}
	// Libraries may need libraries: look until a round finds nothing new.
	seen := map[string]bool{}
	for {
		var fresh []string
		for file, e := range t.entries {
			if !seen[file] && e.Disk != "" {
				seen[file] = true
				fresh = append(fresh, file)
			}
		}
		if len(fresh) == 0 {
			return nil
		}
		for _, file := range fresh {
			if err := t.addNeeds(file); err != nil {
				return err
			}
		}
	}
}

func (t *Tree) addNeeds(file string) error {
	f, err := openELF(t.entries[file].Disk)
	if err != nil {
		return fmt.Errorf("/%s: %w", file, err)
	}
	if f == nil {
		return nil
	}
	defer f.Close()
	for _, prog := range f.Progs {
		if prog.Type != elf.PT_INTERP {
			continue
		}
		name, err := io.ReadAll(prog.Open())
		if err != nil {
			return fmt.Errorf("/%s: interpreter: %w", file, err)
		}
		interpreter := "usr" + path.Clean(strings.TrimRight(string(name), "\x00"))
		if t.owners[interpreter] == "" {
			return fmt.Errorf("/%s needs the loader /%s, which no package has", file, interpreter)
		}
		if err := t.add(interpreter); err != nil {
			return err
		}
	}
	needed, err := f.DynString(elf.DT_NEEDED)
	if err != nil {
		return fmt.Errorf("/%s: needed libraries: %w", file, err)
	}
	runpath, err := f.DynString(elf.DT_RUNPATH)
	if err != nil {
		return fmt.Errorf("/%s: run path: %w", file, err)
	}
	for _, soname := range needed {
		if err := t.addLibrary(soname, runpath, "/"+file); err != nil {
			return err
		}
	}
	return nil
}

func (t *Tree) addLibrary(soname string, runpath []string, user string) error {
	var directories []string
	for _, list := range runpath {
		for _, dir := range strings.Split(list, ":") {
			directories = append(directories, strings.TrimPrefix(path.Clean(dir), "/"))
		}
	}
	for _, dir := range append(directories, libraryDirectories[:]...) {
		file := dir + "/" + soname
		if _, there := t.entries[file]; there {
			return nil
		}
		if t.owners[file] != "" {
			return t.add(file)
		}
	}
	return fmt.Errorf("%s needs the library %s, which no package has: list the package that has it", user, soname)
}

// openELF returns nil without an error for what is not a dynamic program or library of this machine's kind.
func openELF(disk string) (*elf.File, error) {
	raw, err := os.Open(disk)
	if err != nil {
		return nil, err
	}
	var ident [elf.EI_NIDENT]byte
	_, err = io.ReadFull(raw, ident[:])
	if closeErr := raw.Close(); closeErr != nil {
		return nil, closeErr
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || string(ident[:4]) != elf.ELFMAG {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	f, err := elf.Open(disk)
	if err != nil {
		return nil, err
	}
	if f.Machine != elf.EM_X86_64 || (f.Type != elf.ET_EXEC && f.Type != elf.ET_DYN) {
		return nil, f.Close()
	}
	return f, nil
}
