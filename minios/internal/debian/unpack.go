package debian

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/sync/errgroup"
)

// Unpacked is a package with its files on disk.
type Unpacked struct {
	Package
	Root  string            // directory that the package was unpacked into
	Files map[string]string // path in the image, without a leading slash: path on disk; directories are left out
}

// Unpack unpacks the packages, which must have been fetched, once each.
func (a *Apt) Unpack(ctx context.Context, packages []Package) ([]Unpacked, error) {
	all := make([]Unpacked, len(packages))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(4)
	for i, p := range packages {
		group.Go(func() (err error) {
			all[i], err = a.unpackOne(ctx, p)
			return err
		})
	}
	return all, group.Wait()
}

func (a *Apt) unpackOne(ctx context.Context, p Package) (Unpacked, error) {
	// The digest in the name ties the tree to the very package.
	root := filepath.Join(a.dir, "unpacked", p.Name+"_"+p.SHA256[:16])
	if _, err := os.Stat(root); errors.Is(err, fs.ErrNotExist) {
		a.logger.Debug("unpacking", "package", p.Name)
		temporary := root + ".part"
		if err := os.RemoveAll(temporary); err != nil {
			return Unpacked{}, fmt.Errorf("unpack %s: %w", p.Name, err)
		}
		if out, err := exec.CommandContext(ctx, "dpkg-deb", "-x", a.archive(p), temporary).CombinedOutput(); err != nil {
			return Unpacked{}, fmt.Errorf("unpack %s: dpkg-deb: %w: %s", p.Name, err, lastLines(strings.TrimSpace(string(out)), 5))
		}
		if err := os.Rename(temporary, root); err != nil {
			return Unpacked{}, fmt.Errorf("unpack %s: %w", p.Name, err)
		}
	}
	files := map[string]string{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		relative, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		files[MergedPath(relative)] = path
		return nil
	})
	if err != nil {
		return Unpacked{}, fmt.Errorf("list files of %s: %w", p.Name, err)
	}
	return Unpacked{Package: p, Root: root, Files: files}, nil
}

// MergedPath is where a path lies on a system whose /bin, /sbin and /lib* are links
// into /usr: bookworm's packages still name both places. Without a leading slash.
func MergedPath(path string) string {
	path = strings.TrimPrefix(filepath.Clean("/"+path), "/")
	first, _, _ := strings.Cut(path, "/")
	switch first {
	case "bin", "sbin", "lib", "lib32", "lib64", "libx32":
		return "usr/" + path
	}
	return path
}
