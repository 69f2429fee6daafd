package prepare

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"

	"kadeploy/coordinator/internal/extfs"
	"kadeploy/proto/image/blocks"
	"kadeploy/proto/image/frames"
)

// Blocks is the form of a tar image in which it is a whole ext4 file system, of
// which nodes write the blocks to their disks (proto/image/blocks) instead of
// creating files.
type Blocks struct{}

const (
	blocksName = "blocks"
	// blocksKey changes when the file systems or the streams that are made change.
	blocksKey = "1 ext4"
	// blocksGain and blocksSpare (bytes) say how large the blocks may be, compressed:
	// what sending them costs more must not be more than writing them saves.
	blocksGain, blocksSpare = 2, 16 << 20
	// scratchShare is the part of the free space that a file system may take while it is made.
	scratchShare = 2
)

// Name implements Form.
func (Blocks) Name() string { return blocksName }

// Key implements Form. A file system depends on the site's arguments of mkfs.
func (Blocks) Key(im Image) (string, bool) {
	arguments := strings.Fields(im.MkfsArguments)
	ok := im.Kind == "tar" && im.Filesystem == "ext4" && extfs.Suitable(arguments)
	return blocksKey + " mkfs=" + strings.Join(arguments, " "), ok
}

// Make implements Form.
func (Blocks) Make(ctx context.Context, job Job) error {
	m := &blocksMaker{job: job, fs: filepath.Join(job.Scratch, "fs"), copy: filepath.Join(job.Scratch, "image")}
	most, err := freeSpace(job.Scratch)
	if err != nil {
		return err
	}
	_, err = extfs.Make(ctx, extfs.Job{
		Archive:   func() (io.ReadCloser, error) { return m.open(ctx) },
		Arguments: strings.Fields(job.Image.MkfsArguments), Path: m.fs, MaxBytes: most / scratchShare,
	})
	if errors.Is(err, extfs.ErrUnsuitable) {
		return fmt.Errorf("%w as blocks: %w", ErrNoGain, err)
	}
	if err == nil {
		err = os.Remove(m.copy)
	}
	if err == nil {
		err = m.send(ctx)
	}
	return err
}

// freeSpace is what a directory's file system has left, in bytes.
func freeSpace(dir string) (int64, error) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		return 0, fmt.Errorf("free space of %s: %w", dir, err)
	}
	return int64(st.Bavail) * st.Bsize, nil
}

// blocksMaker makes one image.
type blocksMaker struct {
	job      Job
	fs, copy string // files in the scratch directory
	copied   bool
}

// open decompresses the image: the first time as it comes, and then again from a copy.
func (m *blocksMaker) open(ctx context.Context) (io.ReadCloser, error) {
	if m.copied {
		f, err := os.Open(m.copy)
		if err != nil {
			return nil, err
		}
		return decompressed(f, f, m.job.Image.Compression)
	}
	m.copied = true
	f, err := os.OpenFile(m.copy, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	rest := &remainder{File: f, from: io.TeeReader(m.job.Source, f)}
	return decompressed(rest.from, rest, m.job.Image.Compression)
}

// remainder is a copy that is completed when it is closed: a decoder need not
// have read the image to its last byte.
type remainder struct {
	*os.File
	from io.Reader
}

func (r *remainder) Close() error {
	_, err := io.Copy(io.Discard, r.from)
	return errors.Join(err, r.File.Close())
}

// reading is a decoder and what it reads from.
type reading struct {
	io.ReadCloser
	below io.Closer
}

func decompressed(r io.Reader, below io.Closer, compression string) (io.ReadCloser, error) {
	d, err := decompress(r, compression)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("decompress (%s): %w", compression, err), below.Close())
	}
	return &reading{d, below}, nil
}

func (r *reading) Close() error { return errors.Join(r.ReadCloser.Close(), r.below.Close()) }

// send writes the blocks that matter, in frames. The frames come before their
// index is known: they wait in a scratch file.
func (m *blocksMaker) send(ctx context.Context) (err error) {
	facts, ranges, err := extfs.Used(m.fs)
	if err != nil {
		return err
	}
	src, err := os.Open(m.fs)
	if err != nil {
		return err
	}
	defer src.Close()
	h, err := blocks.NewHeader(src, facts, ranges)
	if err != nil {
		return err
	}
	stream, err := blocks.NewReader(src, h)
	if err != nil {
		return err
	}
	scratch, err := os.Create(filepath.Join(m.job.Scratch, "frames"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, scratch.Close()) }()
	// One processor is left for whoever deploys meanwhile.
	most := blocksGain*m.job.Image.Size + blocksSpare
	index, err := frames.Encode(ctx, &limited{scratch, most}, stream, frames.Options{Workers: max(runtime.GOMAXPROCS(0)-1, 1)})
	if err != nil {
		return err
	}
	if _, err := m.job.Out.Write(index.Encode()); err != nil {
		return err
	}
	if _, err := scratch.Seek(0, io.SeekStart); err != nil {
		return err
	}
	_, err = io.Copy(m.job.Out, scratch)
	return err
}
