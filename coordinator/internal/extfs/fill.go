package extfs

import (
	"archive/tar"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"golang.org/x/sys/unix"
)

// byEntry are the regular files in the order in which the archive has their contents.
func (t *tree) byEntry() []*inode {
	var files []*inode
	for _, n := range t.inodes {
		if n.kind() == unix.S_IFREG {
			files = append(files, n)
		}
	}
	slices.SortFunc(files, func(a, b *inode) int { return cmp.Compare(a.entry, b.entry) })
	return files
}

// fill reads the archive again and writes the contents to their places.
func (job Job) fill(ctx context.Context, v *volume, t *tree) error {
	r, err := job.Archive()
	if err != nil {
		return err
	}
	files := t.byEntry()
	buf := make([]byte, 1<<20)
	err = entries(ctx, r, func(i int, h *tar.Header, content io.Reader) error {
		if len(files) == 0 || files[0].entry != i {
			return nil
		}
		n := files[0]
		files = files[1:]
		if h.Size != n.size {
			return errChanged
		}
		return v.fillFile(n, content, buf)
	})
	if err == nil && len(files) > 0 {
		err = errChanged
	}
	return errors.Join(err, r.Close())
}

var errChanged = errors.New("the archive changed while it was read")

// fillFile writes one file. What is not in an extent is a hole, and was zeros.
func (v *volume) fillFile(n *inode, content io.Reader, buf []byte) error {
	at, size := int64(0), int64(v.blockSize)
	for _, e := range n.extents {
		from := int64(e.logical) * size
		if _, err := io.CopyN(io.Discard, content, from-at); err != nil {
			return fmt.Errorf("the archive is truncated: %w", err)
		}
		at = from
		end := min(n.size, from+int64(e.count)*size)
		for at < end {
			p := buf[:min(int64(len(buf)), end-at)]
			if _, err := io.ReadFull(content, p); err != nil {
				return fmt.Errorf("the archive is truncated: %w", err)
			}
			if _, err := v.file.WriteAt(p, int64(e.place)*size+at-from); err != nil {
				return err
			}
			at += int64(len(p))
		}
	}
	return nil
}
