package image

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"slices"

	"github.com/klauspost/compress/zstd"
	"github.com/u-root/u-root/pkg/cpio"
	"golang.org/x/sys/unix"
)

// Write writes the tree as a cpio archive of the "newc" kind, compressed with zstd
// (kernel documentation, driver-api/early-userspace/buffer-format). Names are in
// order, parents first, and every time is epoch.
func (t *Tree) Write(w io.Writer, epoch int64) error {
	t.addParents()
	// One encoder goroutine: how blocks are cut must not depend on timing.
	compressor, err := zstd.NewWriter(w, zstd.WithEncoderLevel(zstd.SpeedBestCompression),
		zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(8<<20))
	if err != nil {
		return err
	}
	buffered := bufio.NewWriterSize(compressor, 1<<20)
	records := cpio.Newc.Writer(buffered)
	for i, name := range slices.Sorted(maps.Keys(t.entries)) {
		if err := writeEntry(records, name, uint64(i+1), t.entries[name], epoch); err != nil {
			return fmt.Errorf("write /%s to the archive: %w", name, err)
		}
	}
	if err := cpio.WriteTrailer(records); err != nil {
		return fmt.Errorf("write end of archive: %w", err)
	}
	if err := buffered.Flush(); err != nil {
		return err
	}
	return compressor.Close()
}

func writeEntry(w cpio.RecordWriter, name string, ino uint64, e Entry, epoch int64) error {
	content := e.Content
	if e.Disk != "" {
		var err error
		if content, err = os.ReadFile(e.Disk); err != nil {
			return err
		}
	}
	links := uint64(1)
	if e.Mode&unix.S_IFMT == unix.S_IFDIR {
		links = 2
	}
	return w.WriteRecord(cpio.Record{
		ReaderAt: bytes.NewReader(content),
		Info: cpio.Info{
			Ino: ino, Mode: uint64(e.Mode), NLink: links, MTime: uint64(epoch), FileSize: uint64(len(content)),
			Rmajor: e.RMaj, Rminor: e.RMin, Name: name,
		},
	})
}

// addParents makes the directories that entries are in: the kernel does not.
func (t *Tree) addParents() {
	for _, name := range slices.Collect(maps.Keys(t.entries)) {
		for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
			if _, there := t.entries[dir]; there {
				break
			}
			t.entries[dir] = Entry{Mode: unix.S_IFDIR | 0o755}
		}
	}
}
