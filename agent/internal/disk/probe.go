package disk

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// Signature is what a device's content says of itself.
type Signature struct {
	Type  string // ext2 ext3 ext4 xfs btrfs vfat swap; empty: none of these
	UUID  string // as in /dev/disk/by-uuid
	Label string
}

// probeSize reaches the farthest superblock looked at, that of btrfs at 64 KiB.
const probeSize = 68 << 10

// Probe reads the signature of the file system, or swap space, on a device.
func Probe(device string) (Signature, error) {
	f, err := os.Open(device)
	if err != nil {
		return Signature{}, fmt.Errorf("look for a file system: %w", err)
	}
	defer f.Close()
	head := make([]byte, probeSize)
	n, err := io.ReadFull(f, head)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && err != io.EOF {
		return Signature{}, fmt.Errorf("look for a file system on %s: %w", device, err)
	}
	return parseSignature(head[:n]), nil
}

// parseSignature knows the superblocks of the file systems that Format makes.
// Offsets are those of the kernel's ext4.h, xfs_format.h, btrfs_tree.h,
// msdos_fs.h and swap.h.
func parseSignature(b []byte) Signature {
	if len(b) < probeSize {
		b = append(bytes.Clone(b), make([]byte, probeSize-len(b))...)
	}
	switch {
	case bytes.HasPrefix(b, []byte("XFSB")):
		return Signature{"xfs", uuidText(b[32:48]), text(b[108:120])}
	case bytes.Equal(b[0x10040:0x10048], []byte("_BHRfS_M")):
		return Signature{"btrfs", uuidText(b[0x10020:0x10030]), text(b[0x1012b : 0x1012b+256])}
	case bytes.Equal(b[4086:4096], []byte("SWAPSPACE2")):
		return Signature{"swap", uuidText(b[1036:1052]), text(b[1052:1068])}
	case binary.LittleEndian.Uint16(b[0x438:]) == 0xef53:
		return Signature{extType(b[0x400:0x800]), uuidText(b[0x468:0x478]), text(b[0x478:0x488])}
	case b[510] == 0x55 && b[511] == 0xaa && bytes.Equal(b[0x52:0x57], []byte("FAT32")):
		return Signature{"vfat", fatID(b[0x43:0x47]), text(b[0x47:0x52])}
	case b[510] == 0x55 && b[511] == 0xaa && bytes.Equal(b[0x36:0x39], []byte("FAT")):
		return Signature{"vfat", fatID(b[0x27:0x2b]), text(b[0x2b:0x36])}
	}
	return Signature{}
}

// extType tells the generations of ext apart by the features that they brought.
func extType(sb []byte) string {
	const (
		hasJournal = 0x4                              // compatible
		extents    = 0x40                             // incompatible
		bit64      = 0x80                             // incompatible
		flexGroups = 0x200                            // incompatible
		ext4RO     = 0x8 | 0x10 | 0x20 | 0x40 | 0x400 // huge files, group sums, many links, big inodes, metadata sums
	)
	compat := binary.LittleEndian.Uint32(sb[0x5c:])
	incompat := binary.LittleEndian.Uint32(sb[0x60:])
	roCompat := binary.LittleEndian.Uint32(sb[0x64:])
	switch {
	case incompat&(extents|bit64|flexGroups) != 0 || roCompat&ext4RO != 0:
		return "ext4"
	case compat&hasJournal != 0:
		return "ext3"
	}
	return "ext2"
}

func uuidText(b []byte) string {
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[0:4], b[4:6], b[6:8], b[8:10], b[10:16])
}

func fatID(b []byte) string {
	return fmt.Sprintf("%02X%02X-%02X%02X", b[3], b[2], b[1], b[0])
}

func text(b []byte) string {
	b, _, _ = bytes.Cut(b, []byte{0})
	s := strings.TrimRight(string(b), " ")
	if s == "NO NAME" {
		return ""
	}
	return s
}
