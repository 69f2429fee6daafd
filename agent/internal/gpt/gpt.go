// Package gpt makes the GUID partition table of a disk image fit the disk that the
// image was written onto. The table's copy stands at the end of the disk that the
// image was made of; on a bigger disk it has to move to the real end, or tools refuse
// the table and what lies behind the old end cannot be used. It makes no partitions.
// See the UEFI specification 2.10, section 5.3.
package gpt

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// Offsets of a header's fields, and bounds.
const (
	signature  = "EFI PART"
	headerSize = 92 // bytes of the header that have a meaning
	maxEntries = 4 << 20

	atHeaderSize = 12
	atHeaderCRC  = 16
	atMyLBA      = 24
	atAlternate  = 32
	atFirst      = 40
	atLast       = 48
	atEntriesLBA = 72
	atCount      = 80
	atEntrySize  = 84
	atEntriesCRC = 88
)

// errNone says that there is no table, which is no failure.
var errNone = errors.New("no GPT")

// table is the primary table of a disk.
type table struct {
	block   int64  // size of a logical block in bytes
	header  []byte // one block
	entries []byte // whole blocks
}

// FitDevice is Fit for a block device, or a file, by its path.
func FitDevice(path string) (moved bool, err error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return false, fmt.Errorf("move the GPT's copy to the end of the disk: %w", err)
	}
	defer f.Close()
	size, err := f.Seek(0, io.SeekEnd)
	block := int64(512)
	if n, berr := unix.IoctlGetInt(int(f.Fd()), unix.BLKSSZGET); berr == nil && n > 0 {
		block = int64(n)
	}
	if err == nil {
		moved, err = Fit(f, size, block)
	}
	if err == nil && moved {
		err = f.Sync()
	}
	if err != nil {
		return false, fmt.Errorf("move the GPT's copy to the end of %s: %w", path, err)
	}
	return moved, nil
}

// Disk is what Fit reads and writes.
type Disk interface {
	io.ReaderAt
	io.WriterAt
}

// Fit moves the copy of a disk's GPT to the end of a disk of size bytes in logical
// blocks of block bytes, and tells whether there was anything to do. A disk
// without a GPT is left alone; so is the protective MBR in any case. A table whose
// sums are wrong is an error: it was so in the image.
func Fit(disk Disk, size, block int64) (moved bool, err error) {
	t, err := read(disk, size, block)
	if errors.Is(err, errNone) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	last := size/block - 1
	if int64(t.uint64(atAlternate)) == last && t.copyIsWhole(disk, last) {
		return false, nil
	}
	usable := last - 1 - int64(len(t.entries))/block
	if end := max(t.end(), int64(t.uint64(atEntriesLBA))+int64(len(t.entries))/block-1); end > usable {
		return false, fmt.Errorf("a partition, or the table, ends at block %d, where the copy of the table begins at %d: the disk is smaller than that of the image", end, usable+1)
	}
	// The copy first: with it the old table is still the one that counts.
	backup := t.made(last, 1, usable+1, usable)
	primary := t.made(1, last, int64(t.uint64(atEntriesLBA)), usable)
	for _, w := range []struct {
		data []byte
		lba  int64
	}{{t.entries, usable + 1}, {backup, last}, {primary, 1}} {
		if _, err := disk.WriteAt(w.data, w.lba*block); err != nil {
			return false, fmt.Errorf("write block %d: %w", w.lba, err)
		}
	}
	return true, nil
}

func read(disk Disk, size, block int64) (*table, error) {
	if size < 8*block {
		return nil, errNone
	}
	t := &table{block: block, header: make([]byte, block)}
	if _, err := disk.ReadAt(t.header, block); err != nil {
		return nil, fmt.Errorf("read the header: %w", err)
	}
	if string(t.header[:8]) != signature {
		return nil, errNone
	}
	if !whole(t.header) {
		return nil, errors.New("the sum of the image's GPT header is wrong: the image is damaged")
	}
	bytes, err := t.entriesSize()
	if err != nil {
		return nil, err
	}
	lba := int64(t.uint64(atEntriesLBA))
	blocks := (bytes + block - 1) / block
	if lba < 2 || lba > size/block-blocks {
		return nil, fmt.Errorf("the image's GPT has its entries at block %d, outside of the disk", lba)
	}
	t.entries = make([]byte, blocks*block)
	if _, err := disk.ReadAt(t.entries, lba*block); err != nil {
		return nil, fmt.Errorf("read the entries: %w", err)
	}
	if crc32.ChecksumIEEE(t.entries[:bytes]) != t.uint32(atEntriesCRC) {
		return nil, errors.New("the sum of the image's GPT entries is wrong: the image is damaged")
	}
	return t, nil
}

// whole checks the sum of a header.
func whole(header []byte) bool {
	n := binary.LittleEndian.Uint32(header[atHeaderSize:])
	return n >= headerSize && int(n) <= len(header) && sum(header) == binary.LittleEndian.Uint32(header[atHeaderCRC:])
}

// sum is the sum of a header, in which the sum itself counts as zero.
func sum(header []byte) uint32 {
	h := make([]byte, binary.LittleEndian.Uint32(header[atHeaderSize:]))
	copy(h, header)
	clear(h[atHeaderCRC : atHeaderCRC+4])
	return crc32.ChecksumIEEE(h)
}

func (t *table) uint32(at int) uint32 { return binary.LittleEndian.Uint32(t.header[at:]) }
func (t *table) uint64(at int) uint64 { return binary.LittleEndian.Uint64(t.header[at:]) }

// entriesSize is the size of the array of entries in bytes.
func (t *table) entriesSize() (int64, error) {
	count, size := int64(t.uint32(atCount)), int64(t.uint32(atEntrySize))
	if size < 128 || size > 4096 || count == 0 || count*size > maxEntries {
		return 0, fmt.Errorf("the image's GPT has %d entries of %d bytes, which cannot be", count, size)
	}
	return count * size, nil
}

// end is the last block of the last partition.
func (t *table) end() int64 {
	var end int64
	size, none := int(t.uint32(atEntrySize)), [16]byte{}
	for i := range int(t.uint32(atCount)) {
		e := t.entries[i*size:]
		if [16]byte(e[:16]) != none {
			end = max(end, int64(binary.LittleEndian.Uint64(e[40:])))
		}
	}
	return end
}

// copyIsWhole tells whether the copy is where it is said to be.
func (t *table) copyIsWhole(disk Disk, last int64) bool {
	h := make([]byte, t.block)
	_, err := disk.ReadAt(h, last*t.block)
	return err == nil && string(h[:8]) == signature && whole(h) && int64(binary.LittleEndian.Uint64(h[atMyLBA:])) == last
}

// made is the header for block my, whose counterpart is at alternate.
func (t *table) made(my, alternate, entries, usable int64) []byte {
	h := append([]byte(nil), t.header...)
	for at, v := range map[int]int64{atMyLBA: my, atAlternate: alternate, atEntriesLBA: entries, atLast: usable} {
		binary.LittleEndian.PutUint64(h[at:], uint64(v))
	}
	binary.LittleEndian.PutUint32(h[atHeaderCRC:], sum(h))
	return h
}
