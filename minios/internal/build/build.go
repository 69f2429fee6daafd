// Package build owns the making of one mini-OS image out of a manifest: kernel,
// initrd and a record of what went in. It skips the work when the record of the
// last build names the same inputs.
package build

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"kadeploy/minios/internal/debian"
	"kadeploy/minios/internal/image"
	"kadeploy/minios/internal/kernel"
	"kadeploy/minios/internal/manifest"
)

// Options say what to build.
type Options struct {
	Manifest string // path
	Agent    string // path of the agent's static binary
	Output   string // directory
	Cache    string // directory: package lists, packages, unpacked packages
	AptEtc   string // the machine's apt configuration, /etc/apt
	Refresh  bool   // look for new package versions
}

// Names of the files in the output directory.
const (
	KernelFile = "vmlinuz"
	InitrdFile = "initrd.img"
	LocalFile  = "local.efi"
	RecordFile = "manifest.json"
)

// Run builds the image unless it is there already. It returns the record and whether something was built.
func Run(ctx context.Context, o Options, logger *slog.Logger) (*Record, bool, error) {
	m, err := manifest.Load(o.Manifest)
	if err != nil {
		return nil, false, err
	}
	apt, err := debian.Open(o.Cache, o.AptEtc, m.Suite, logger)
	if err != nil {
		return nil, false, err
	}
	packages, err := resolve(ctx, apt, m, o)
	if err != nil {
		return nil, false, err
	}
	key, err := inputKey(m, packages, o.Agent)
	if err != nil {
		return nil, false, err
	}
	if last := upToDate(o.Output, key); last != nil && !o.Refresh {
		return last, false, nil
	}
	if err := apt.Fetch(ctx, packages); err != nil {
		return nil, false, err
	}
	logger.Info("unpacking packages", "count", len(packages))
	unpacked, err := apt.Unpack(ctx, packages)
	if err != nil {
		return nil, false, err
	}
	work, err := os.MkdirTemp("", "mkminios-")
	if err != nil {
		return nil, false, err
	}
	defer os.RemoveAll(work)
	b := &builder{manifest: m, unpacked: unpacked, work: work, logger: logger}
	if err := b.assemble(ctx, o.Agent); err != nil {
		return nil, false, err
	}
	record := &Record{Key: key, Name: m.Name, Release: b.kernel.Release, Packages: b.used()}
	local, err := b.localBoot(ctx)
	if err != nil {
		return nil, false, err
	}
	if err := b.write(o.Output, record, local); err != nil {
		return nil, false, err
	}
	return record, true, nil
}

// resolve returns the package versions that the last build with the same package names and suite used, or asks apt.
func resolve(ctx context.Context, apt *debian.Apt, m *manifest.Manifest, o Options) ([]debian.Package, error) {
	names := m.PackageNames()
	path := filepath.Join(o.Cache, "resolved-"+digest([]byte(m.Suite + "\n" + strings.Join(names, "\n")))[:16]+".json")
	if !o.Refresh {
		text, err := os.ReadFile(path)
		if err == nil {
			var packages []debian.Package
			if json.Unmarshal(text, &packages) == nil && len(packages) > 0 {
				return packages, nil
			}
		} else if !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("read resolved packages: %w", err)
		}
	}
	packages, err := apt.Resolve(ctx, names)
	if err != nil {
		return nil, err
	}
	text, err := json.MarshalIndent(packages, "", "  ")
	if err != nil {
		return nil, err
	}
	if err := replaceFile(path, text); err != nil {
		return nil, fmt.Errorf("keep resolved packages: %w", err)
	}
	return packages, nil
}

type builder struct {
	manifest *manifest.Manifest
	unpacked []debian.Unpacked
	work     string
	logger   *slog.Logger

	tree   *image.Tree
	kernel *kernel.Kernel
}

func (b *builder) assemble(ctx context.Context, agent string) error {
	m := b.manifest
	var err error
	if b.tree, err = image.New(b.unpacked, m.Exclude); err != nil {
		return err
	}
	for name, patterns := range m.Packages {
		if err := b.tree.Take(name, patterns); err != nil {
			return err
		}
	}
	for path, mode := range m.Directories {
		b.tree.Directory(path, uint32(mode))
	}
	for path, f := range m.Files {
		b.tree.File(path, uint32(f.Mode), []byte(f.Content))
	}
	for path, target := range m.Links {
		b.tree.Symlink(path, target)
	}
	b.tree.CharDevice("/dev/console", 0o600, 5, 1)
	b.tree.Copy(m.Agent, 0o755, agent)
	if err := b.addModules(ctx); err != nil {
		return err
	}
	if err := b.tree.AddLibraries(m.Libraries); err != nil {
		return err
	}
	return b.addApplets(ctx)
}

func (b *builder) addModules(ctx context.Context) error {
	i := slices.IndexFunc(b.unpacked, func(p debian.Unpacked) bool {
		rest, ok := strings.CutPrefix(p.Name, "linux-image-")
		return ok && rest[0] >= '0' && rest[0] <= '9'
	})
	if i < 0 {
		return fmt.Errorf("%s brings no package linux-image-RELEASE", b.manifest.Kernel)
	}
	var err error
	if b.kernel, err = kernel.Find(b.unpacked[i].Root); err != nil {
		return err
	}
	files, err := b.kernel.Select(b.manifest.Modules)
	if err != nil {
		return err
	}
	b.logger.Info("adding kernel modules", "kernel", b.kernel.Release, "count", len(files))
	root := filepath.Join(b.work, "modules")
	if err := b.kernel.Stage(root, files); err != nil {
		return err
	}
	if err := b.depmod(ctx, root); err != nil {
		return err
	}
	top := filepath.Join(root, "lib", "modules")
	return filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		relative, err := filepath.Rel(top, path)
		if err != nil {
			return err
		}
		b.tree.Copy("/lib/modules/"+relative, 0o644, path)
		return nil
	})
}

// depmod runs the depmod of the image, not the machine's, so that the index is what the image's kmod reads.
func (b *builder) depmod(ctx context.Context, root string) error {
	if err := b.run(ctx, "/bin/kmod", "depmod", "-b", root, b.kernel.Release); err != nil {
		return fmt.Errorf("index the modules of %s: %w", b.kernel.Release, err)
	}
	return nil
}

// run runs a program of the image on this machine, with the image's own libraries.
func (b *builder) run(ctx context.Context, path, name string, args ...string) error {
	program, loader := b.tree.Disk(path), b.tree.Disk("/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2")
	if program == "" || loader == "" {
		return fmt.Errorf("the manifest's packages have no %s", path)
	}
	var directories []string
	for _, p := range b.unpacked {
		for _, dir := range []string{"lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu"} {
			if dir = filepath.Join(p.Root, dir); isDirectory(dir) {
				directories = append(directories, dir)
			}
		}
	}
	cmd := exec.CommandContext(ctx, loader, append([]string{"--argv0", name, "--library-path", strings.Join(directories, ":"), program}, args...)...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", name, err, strings.TrimSpace(string(out)))
	}
	return nil
}

// addApplets asks the static busybox of the image for its applets.
func (b *builder) addApplets(ctx context.Context) error {
	path := b.manifest.Busybox.Path
	if path == "" {
		return nil
	}
	disk := b.tree.Disk(path)
	if disk == "" {
		return fmt.Errorf("busybox %s is in no package", path)
	}
	out, err := exec.CommandContext(ctx, disk, "--list").Output()
	if err != nil {
		return fmt.Errorf("list the applets of %s: %w", disk, err)
	}
	b.tree.LinkApplets(path, strings.Fields(string(out)), b.manifest.Busybox.Without)
	return nil
}

// used lists the packages that gave the image at least one file.
func (b *builder) used() []debian.Package {
	var list []debian.Package
	for _, p := range b.unpacked {
		if b.tree.Uses(p) || strings.HasSuffix(p.Name, b.kernel.Release) {
			list = append(list, p.Package)
		}
	}
	return list
}

func isDirectory(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}
