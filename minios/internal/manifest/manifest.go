// Package manifest owns the description of a mini-OS image: which Debian
// packages it is made of and which of their files it takes. It reads YAML and
// checks it; it never looks at packages.
package manifest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"go.yaml.in/yaml/v3"
)

// Manifest describes one image. Paths are absolute paths in the image; patterns
// are paths in which * stands for anything but a slash and ** for anything.
type Manifest struct {
	Include []string `yaml:"include" json:"-"` // other manifests, relative to this one, merged below it

	Name        string              `yaml:"name"`
	Suite       string              `yaml:"suite"`       // Debian release, such as bookworm
	Epoch       int64               `yaml:"epoch"`       // modification time of all files, Unix seconds
	Kernel      string              `yaml:"kernel"`      // package, such as linux-image-cloud-amd64
	Modules     []string            `yaml:"modules"`     // module names, or patterns of files below kernel/
	Packages    map[string][]string `yaml:"packages"`    // package: patterns of the files that it gives
	Exclude     []string            `yaml:"exclude"`     // patterns that no package gives
	Libraries   []string            `yaml:"libraries"`   // sonames that programs open at run time
	Busybox     Busybox             `yaml:"busybox"`     // fills in what the packages leave out
	Directories map[string]Mode     `yaml:"directories"` // made even if empty
	Links       map[string]string   `yaml:"links"`       // path: target
	Files       map[string]File     `yaml:"files"`       // path: content given here
	Agent       string              `yaml:"agent"`       // where the agent's binary goes
}

// Busybox says where the multi-call binary is and which applets get no link.
// An applet whose name another file in the search path has never gets one.
type Busybox struct {
	Path    string   `yaml:"path"`
	Without []string `yaml:"without"`
}

// File is a small file written out in the manifest.
type File struct {
	Mode    Mode   `yaml:"mode"`
	Content string `yaml:"content"`
}

// Mode is permission bits, written in octal.
type Mode uint32

// UnmarshalYAML reads an octal number, whatever YAML itself makes of a leading zero.
func (m *Mode) UnmarshalYAML(n *yaml.Node) error {
	v, err := strconv.ParseUint(n.Value, 8, 12)
	if err != nil {
		return fmt.Errorf("line %d: mode %q is not an octal number up to 7777", n.Line, n.Value)
	}
	*m = Mode(v)
	return nil
}

// Load reads the manifest at path with everything that it includes.
func Load(path string) (*Manifest, error) {
	m, err := load(path, nil)
	if err != nil {
		return nil, err
	}
	if err := m.check(); err != nil {
		return nil, fmt.Errorf("manifest %s: %w", path, err)
	}
	return m, nil
}

func load(path string, parents []string) (*Manifest, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	if slices.Contains(parents, abs) {
		return nil, fmt.Errorf("manifest %s includes itself", path)
	}
	text, err := os.ReadFile(abs)
	if err != nil {
		return nil, fmt.Errorf("read manifest: %w", err)
	}
	own, err := Parse(text)
	if err != nil {
		return nil, fmt.Errorf("manifest %s: %w", path, err)
	}
	sum := &Manifest{}
	for _, name := range own.Include {
		base, err := load(filepath.Join(filepath.Dir(abs), name), append(parents, abs))
		if err != nil {
			return nil, err
		}
		sum.merge(base)
	}
	sum.merge(own)
	sum.Include = nil
	return sum, nil
}

// Parse reads one manifest, without its includes. Unknown members are errors: most are typing mistakes.
func Parse(text []byte) (*Manifest, error) {
	m := &Manifest{}
	dec := yaml.NewDecoder(bytes.NewReader(text))
	dec.KnownFields(true)
	if err := dec.Decode(m); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return m, nil
}

// merge lays over on top of m: lists and maps grow, single values are replaced.
func (m *Manifest) merge(over *Manifest) {
	replace := func(dst *string, v string) {
		if v != "" {
			*dst = v
		}
	}
	replace(&m.Name, over.Name)
	replace(&m.Suite, over.Suite)
	replace(&m.Kernel, over.Kernel)
	replace(&m.Agent, over.Agent)
	replace(&m.Busybox.Path, over.Busybox.Path)
	if over.Epoch != 0 {
		m.Epoch = over.Epoch
	}
	m.Modules = append(m.Modules, over.Modules...)
	m.Exclude = append(m.Exclude, over.Exclude...)
	m.Libraries = append(m.Libraries, over.Libraries...)
	m.Busybox.Without = append(m.Busybox.Without, over.Busybox.Without...)
	for name, patterns := range over.Packages {
		if m.Packages == nil {
			m.Packages = map[string][]string{}
		}
		m.Packages[name] = append(m.Packages[name], patterns...)
	}
	lay(&m.Directories, over.Directories)
	lay(&m.Links, over.Links)
	lay(&m.Files, over.Files)
}

func lay[V any](dst *map[string]V, over map[string]V) {
	if *dst == nil {
		*dst = map[string]V{}
	}
	maps.Copy(*dst, over)
}

func (m *Manifest) check() error {
	for _, f := range []struct{ name, value string }{
		{"name", m.Name}, {"suite", m.Suite}, {"kernel", m.Kernel}, {"agent", m.Agent},
	} {
		if f.value == "" {
			return fmt.Errorf("%s is missing", f.name)
		}
	}
	if len(m.Packages) == 0 {
		return errors.New("no packages are listed")
	}
	for name, patterns := range m.Packages {
		if len(patterns) == 0 {
			return fmt.Errorf("package %s gives no files: list them, or /** for all", name)
		}
	}
	return nil
}

// PackageNames are the packages to install, kernel included, sorted.
func (m *Manifest) PackageNames() []string {
	names := append(slices.Collect(maps.Keys(m.Packages)), m.Kernel)
	slices.Sort(names)
	return slices.Compact(names)
}
