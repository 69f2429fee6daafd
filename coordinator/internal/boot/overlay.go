package boot

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"maps"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/u-root/u-root/pkg/cpio"
)

const maxOverlayFile = 16 << 20

// buildOverlay packs files into an initrd that the kernel unpacks over the
// mini-OS: the site's own keys and settings need no build of a mini-OS. The
// same files give the same bytes. It is compressed because the kernel accepts a
// compressed archive at any offset, a bare one only at a multiple of four, and
// not all firmware pads between initrds.
func buildOverlay(files map[string]string) ([]byte, error) {
	if len(files) == 0 {
		return nil, nil
	}
	var packed bytes.Buffer
	gz, err := gzip.NewWriterLevel(&packed, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	archive := cpio.Newc.Writer(gz)
	made := map[string]bool{}
	sources := map[string]string{}
	for target, source := range files {
		sources[strings.TrimPrefix(path.Clean("/"+target), "/")] = source
	}
	for _, name := range slices.Sorted(maps.Keys(sources)) {
		if name == "" {
			return nil, errors.New("overlay: / is not the name of a file")
		}
		content, mode, err := readOverlayFile(sources[name])
		if err != nil {
			return nil, fmt.Errorf("overlay: /%s: %w", name, err)
		}
		if err := addParents(archive, name, made); err != nil {
			return nil, err
		}
		rec := cpio.StaticFile(name, string(content), mode)
		if err := archive.WriteRecord(anonymous(rec)); err != nil {
			return nil, fmt.Errorf("overlay: /%s: %w", name, err)
		}
	}
	if err := cpio.WriteTrailer(archive); err != nil {
		return nil, fmt.Errorf("overlay: %w", err)
	}
	if err := gz.Close(); err != nil {
		return nil, fmt.Errorf("overlay: %w", err)
	}
	return packed.Bytes(), nil
}

// readOverlayFile keeps only the permission bits of the source.
func readOverlayFile(name string) ([]byte, uint64, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, 0, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxOverlayFile {
		return nil, 0, fmt.Errorf("%s must be a regular file of at most %d bytes", name, maxOverlayFile)
	}
	content, err := os.ReadFile(name)
	return content, uint64(info.Mode().Perm()), err
}

// addParents records the directories above a file. root's home and its keys are
// closed to others, because sshd refuses them otherwise.
func addParents(archive cpio.RecordWriter, name string, made map[string]bool) error {
	parts := strings.Split(path.Dir(name), "/")
	for i := range parts {
		dir := strings.Join(parts[:i+1], "/")
		if dir == "." || made[dir] {
			continue
		}
		made[dir] = true
		mode := uint64(0o755)
		if parts[i] == ".ssh" || dir == "root" {
			mode = 0o700
		}
		if err := archive.WriteRecord(anonymous(cpio.Directory(dir, mode))); err != nil {
			return fmt.Errorf("overlay: directory %s: %w", dir, err)
		}
	}
	return nil
}

// anonymous makes a record belong to root and to no time.
func anonymous(r cpio.Record) cpio.Record {
	r.UID, r.GID, r.MTime = 0, 0, 0
	return r
}
