// Package kernel owns the choice of kernel modules: it finds the kernel in an
// unpacked package, takes the modules asked for with all that they need, and
// has depmod index them.
package kernel

import (
	"bufio"
	"debug/elf"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"kadeploy/minios/internal/manifest"
)

// Kernel is one kernel with its modules, in the tree of its unpacked package.
type Kernel struct {
	Release string // such as 6.1.0-56-cloud-amd64
	Image   string // vmlinuz on disk

	modulesDir string            // lib/modules/RELEASE on disk
	modules    map[string]string // module name: path below modulesDir
	builtin    map[string]bool
	crypto     map[string][]string // alias of an algorithm: modules that have it; nil until asked for
}

// Find looks for the one kernel below root.
func Find(root string) (*Kernel, error) {
	images, err := filepath.Glob(filepath.Join(root, "boot", "vmlinuz-*"))
	if err != nil {
		return nil, err
	}
	if len(images) != 1 {
		return nil, fmt.Errorf("%s holds %d kernels, want 1", root, len(images))
	}
	release := strings.TrimPrefix(filepath.Base(images[0]), "vmlinuz-")
	k := &Kernel{
		Release: release, Image: images[0],
		modulesDir: filepath.Join(root, "lib", "modules", release),
		modules:    map[string]string{}, builtin: map[string]bool{},
	}
	err = filepath.WalkDir(k.modulesDir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(p) != ".ko" {
			return err
		}
		relative, err := filepath.Rel(k.modulesDir, p)
		k.modules[moduleName(p)] = relative
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list modules of %s: %w", release, err)
	}
	f, err := os.Open(filepath.Join(k.modulesDir, "modules.builtin"))
	if err != nil {
		return nil, fmt.Errorf("built-in modules of %s: %w", release, err)
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		k.builtin[moduleName(lines.Text())] = true
	}
	return k, nil
}

// moduleName is how the kernel calls the module in a file.
func moduleName(file string) string {
	return strings.ReplaceAll(strings.TrimSuffix(path.Base(file), ".ko"), "-", "_")
}

// Select returns the files, below lib/modules/RELEASE, of the modules that the
// wishes name and of those that they depend on, sorted. A wish is a module's name,
// or a pattern of paths below kernel/ (it has a slash). One that starts with an
// exclamation mark takes away what the patterns before it gave.
func (k *Kernel) Select(wishes []string) ([]string, error) {
	chosen := map[string]bool{}
	for _, wish := range wishes {
		if err := k.wish(wish, chosen); err != nil {
			return nil, err
		}
	}
	queue := make([]string, 0, len(chosen))
	for name := range chosen {
		queue = append(queue, name)
	}
	for len(queue) > 0 {
		name := queue[0]
		queue = queue[1:]
		needs, err := k.needs(name)
		if err != nil {
			return nil, err
		}
		for _, need := range needs {
			if !chosen[need] {
				chosen[need] = true
				queue = append(queue, need)
			}
		}
	}
	var files []string
	for name := range chosen {
		files = append(files, k.modules[name])
	}
	slices.Sort(files)
	return files, nil
}

func (k *Kernel) wish(wish string, chosen map[string]bool) error {
	text, negative := strings.CutPrefix(wish, "!")
	if !strings.Contains(text, "/") {
		name := moduleName(text)
		switch {
		case negative:
			delete(chosen, name)
		case k.modules[name] != "":
			chosen[name] = true
		case !k.builtin[name]:
			return fmt.Errorf("kernel %s has no module %s", k.Release, text)
		}
		return nil
	}
	pattern, err := manifest.Compile("kernel/" + text)
	if err != nil {
		return err
	}
	found := false
	for name, file := range k.modules {
		if !pattern.Match(file) {
			continue
		}
		found = true
		if negative {
			delete(chosen, name)
		} else {
			chosen[name] = true
		}
	}
	if !found && !negative {
		return fmt.Errorf("kernel %s has no module that matches %s", k.Release, text)
	}
	return nil
}

// needs lists the modules that a module depends on, hard and soft. A soft
// dependency may name an algorithm, such as crypto-crc32c of ext4: all modules that have it are taken.
func (k *Kernel) needs(name string) ([]string, error) {
	info, err := k.modinfo(name)
	if err != nil {
		return nil, err
	}
	var needs []string
	for _, need := range info.depends {
		if k.builtin[need] {
			continue
		}
		if k.modules[need] == "" {
			return nil, fmt.Errorf("module %s depends on %s, which the kernel package does not have", name, need)
		}
		needs = append(needs, need)
	}
	for _, need := range info.softdeps {
		if k.modules[need] != "" {
			needs = append(needs, need)
			continue
		}
		algorithms, err := k.algorithms()
		if err != nil {
			return nil, err
		}
		needs = append(needs, algorithms[need]...)
	}
	return needs, nil
}

// algorithms indexes the modules below the crypto directories by their aliases.
func (k *Kernel) algorithms() (map[string][]string, error) {
	if k.crypto != nil {
		return k.crypto, nil
	}
	index := map[string][]string{}
	for name, file := range k.modules {
		if !strings.Contains(file, "/crypto/") {
			continue
		}
		info, err := k.modinfo(name)
		if err != nil {
			return nil, err
		}
		for _, alias := range info.aliases {
			index[alias] = append(index[alias], name)
		}
	}
	k.crypto = index
	return index, nil
}

// modinfo reads the .modinfo section of a module.
func (k *Kernel) modinfo(name string) (modinfo, error) {
	file := filepath.Join(k.modulesDir, k.modules[name])
	f, err := elf.Open(file)
	if err != nil {
		return modinfo{}, fmt.Errorf("module %s: %w", file, err)
	}
	defer f.Close()
	section := f.Section(".modinfo")
	if section == nil {
		return modinfo{}, fmt.Errorf("module %s has no .modinfo section", file)
	}
	text, err := section.Data()
	if err != nil {
		return modinfo{}, fmt.Errorf("module %s: .modinfo: %w", file, err)
	}
	return parseModinfo(text), nil
}

// modinfo is what a module says of itself, with names as the kernel writes them.
type modinfo struct{ depends, softdeps, aliases []string }

// parseModinfo reads NUL-separated "name=value" strings: depends=a,b softdep="pre: a b post: c" alias=d.
func parseModinfo(text []byte) (info modinfo) {
	for _, field := range strings.Split(string(text), "\x00") {
		name, value, _ := strings.Cut(field, "=")
		switch name {
		case "depends":
			for _, need := range strings.Split(value, ",") {
				if need != "" {
					info.depends = append(info.depends, moduleName(need))
				}
			}
		case "softdep":
			for _, word := range strings.Fields(value) {
				if word != "pre:" && word != "post:" {
					info.softdeps = append(info.softdeps, moduleName(word))
				}
			}
		case "alias":
			info.aliases = append(info.aliases, moduleName(value))
		}
	}
	return info
}

// Stage copies the module files and the kernel's own lists to root/lib/modules/RELEASE, ready for depmod.
func (k *Kernel) Stage(root string, files []string) error {
	lists := []string{"modules.builtin", "modules.builtin.modinfo", "modules.order"}
	for _, file := range append(lists, files...) {
		data, err := os.ReadFile(filepath.Join(k.modulesDir, file))
		if errors.Is(err, fs.ErrNotExist) && slices.Contains(lists, file) {
			continue
		}
		if err != nil {
			return fmt.Errorf("stage modules: %w", err)
		}
		to := filepath.Join(root, "lib", "modules", k.Release, file)
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			return fmt.Errorf("stage modules: %w", err)
		}
		if err := os.WriteFile(to, data, 0o644); err != nil {
			return fmt.Errorf("stage modules: %w", err)
		}
	}
	return nil
}
