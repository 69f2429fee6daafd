package boot

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

// loaders are the iPXE binaries of a directory. They are known by name, and only
// these names are served: so links are followed, as Debian's ipxe.efi is one
// that leads out of the package's directory.
type loaders struct {
	dir   string
	names []string
}

func newLoaders(cfg *Config) (*loaders, error) {
	info, err := os.Stat(cfg.Loaders)
	if err == nil && !info.IsDir() {
		err = fmt.Errorf("%s is not a directory", cfg.Loaders)
	}
	if err != nil {
		return nil, fmt.Errorf("iPXE binaries (Debian package ipxe): %w", err)
	}
	l := &loaders{dir: cfg.Loaders, names: []string{biosLoader, cfg.UEFILoader}}
	for _, name := range l.names {
		if _, err := os.Stat(filepath.Join(l.dir, name)); err != nil {
			cfg.Logger.Warn("an iPXE binary is missing: nodes without iPXE of their own cannot boot with it (Debian package ipxe)", "error", err)
		}
	}
	return l, nil
}

// open opens a loader. A name that is not one's does not exist.
func (l *loaders) open(name string) (*os.File, os.FileInfo, error) {
	if !slices.Contains(l.names, name) {
		return nil, nil, &os.PathError{Op: "open", Path: name, Err: os.ErrNotExist}
	}
	f, err := os.Open(filepath.Join(l.dir, name))
	if err != nil {
		return nil, nil, err
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, nil, err
	}
	return f, info, nil
}
