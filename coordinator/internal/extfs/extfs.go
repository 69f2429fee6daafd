// Package extfs makes an ext4 file system out of a tar archive, as if the archive
// had been extracted into a new one: owners, modes, nanosecond times, hard links,
// devices, extended attributes, ACLs, capabilities and holes are those of the
// archive. It mounts nothing, extracts nothing and needs no privileges: mke2fs makes
// the empty file system, with the site's arguments, in a plain file; this package
// puts the archive's entries into it; e2fsck says whether they are in there
// properly. It does not know what the file system is for.
//
// Why not mke2fs -d: it wants the archive extracted, by root, on the coordinator's
// disk (an archive that a user wrote), and mke2fs 1.47.0 then loses the fractions
// of all times, and owner, mode and time of the root directory; 1.47.1, which reads
// archives itself, is not in Debian 12 and does not know capabilities or ACLs there.
// Why not a loop device: it needs root, and a free one.
package extfs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

// ErrUnsuitable says that an archive or the arguments of mkfs ask for something
// that this package does not do: the archive has to be extracted instead. It is
// wrapped with what that is.
var ErrUnsuitable = errors.New("not suitable for a prepared file system")

func unsuitable(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrUnsuitable, fmt.Sprintf(format, args...))
}

// ErrNoRoom says that the file system would be larger than MaxBytes.
var ErrNoRoom = errors.New("no room for the file system")

func noRoom(size, most int64) error {
	return fmt.Errorf("%w: it needs %d MiB or more, the limit is %d", ErrNoRoom, size>>20, most>>20)
}

// Job is one file system to make.
type Job struct {
	// Archive opens the tar archive, decompressed. It is read twice: once to see
	// what there is, once for the content.
	Archive   func() (io.ReadCloser, error)
	Arguments []string // the site's arguments of mkfs.ext4
	Path      string   // file to make, sparse; it must not exist
	MaxBytes  int64    // limit of the file system's size; 0: none
}

// Stats is what a file system holds.
type Stats struct {
	Entries int   // of the archive
	Inodes  int   // in use, beside those that mke2fs made
	Bytes   int64 // size of the file system
}

// Make makes the file system. What was made is removed if that fails.
func Make(ctx context.Context, job Job) (Stats, error) {
	stats, err := job.make(ctx)
	if err != nil {
		if rerr := os.Remove(job.Path); rerr != nil && !errors.Is(rerr, os.ErrNotExist) {
			err = errors.Join(err, rerr)
		}
		return Stats{}, fmt.Errorf("make a file system of the archive: %w", err)
	}
	return stats, nil
}

func (job Job) make(ctx context.Context) (Stats, error) {
	tree, err := job.survey(ctx)
	if err != nil {
		return Stats{}, err
	}
	v, err := job.format(ctx, tree)
	if err != nil {
		return Stats{}, err
	}
	defer v.file.Close()
	if err := v.place(tree); err != nil {
		return Stats{}, err
	}
	if err := job.fill(ctx, v, tree); err != nil {
		return Stats{}, err
	}
	if err := v.write(tree); err != nil {
		return Stats{}, err
	}
	if err := check(ctx, job.Path); err != nil {
		return Stats{}, err
	}
	return Stats{Entries: tree.entries, Inodes: len(tree.inodes), Bytes: int64(v.blocks) * int64(v.blockSize)}, nil
}

// survey reads the archive for the first time.
func (job Job) survey(ctx context.Context) (*tree, error) {
	r, err := job.Archive()
	if err != nil {
		return nil, err
	}
	t := newTree(time.Now())
	t.maxData = job.MaxBytes
	if err := errors.Join(t.read(ctx, r), r.Close()); err != nil {
		return nil, err
	}
	return t, nil
}
