package extfs

import (
	"time"

	"golang.org/x/sys/unix"
)

// Flags of an inode, and the most subdirectories that a link count can tell.
const (
	flagExtents = 0x80000
	mostSubdirs = 65000
)

// write puts everything but the contents of files to its place.
func (v *volume) write(t *tree) error {
	for _, n := range append(t.inodes, t.root) {
		if err := v.writeInode(t, n); err != nil {
			return err
		}
	}
	return v.writeCounts(t)
}

func (v *volume) writeInode(t *tree, n *inode) error {
	raw := make([]byte, v.inodeSize)
	size := n.size
	switch n.kind() {
	case unix.S_IFDIR:
		var blocks uint64
		for _, e := range n.extents {
			blocks += e.count
		}
		size = int64(blocks) * int64(v.blockSize)
		if err := v.writeData(n, v.directoryData(n, int(blocks))); err != nil {
			return err
		}
	case unix.S_IFLNK:
		size = int64(len(n.target))
		if size >= fastLink {
			if err := v.writeData(n, append([]byte(n.target), make([]byte, v.blockSize-len(n.target))...)); err != nil {
				return err
			}
		}
	}
	le.PutUint16(raw[0x00:], uint16(n.mode))
	le.PutUint16(raw[0x02:], uint16(n.uid))
	le.PutUint16(raw[0x18:], uint16(n.gid))
	le.PutUint16(raw[0x78:], uint16(n.uid>>16))
	le.PutUint16(raw[0x7A:], uint16(n.gid>>16))
	le.PutUint32(raw[0x04:], uint32(size))
	le.PutUint32(raw[0x6C:], uint32(size>>32))
	le.PutUint16(raw[0x1A:], uint16(linkCount(n)))
	sectors := n.blocks * uint64(v.blockSize) / 512
	le.PutUint32(raw[0x1C:], uint32(sectors))
	le.PutUint16(raw[0x74:], uint16(sectors>>32))
	le.PutUint32(raw[0x68:], uint32(n.xblock))
	le.PutUint16(raw[0x76:], uint16(n.xblock>>32))
	if v.extraSize > 0 {
		le.PutUint16(raw[0x80:], uint16(v.extraSize))
	}
	v.putTimes(raw, n.mtime, t.now)
	if err := v.putContent(n, raw); err != nil {
		return err
	}
	if err := v.writeXattrs(n, raw); err != nil {
		return err
	}
	v.sumInode(n.number, raw)
	_, err := v.file.WriteAt(raw, v.inodeOffset(n.number))
	return err
}

// putContent fills the 60 bytes that say where the content is, or are it.
func (v *volume) putContent(n *inode, raw []byte) error {
	iblock := raw[0x28:0x64]
	switch n.kind() {
	case unix.S_IFCHR, unix.S_IFBLK:
		major, minor := unix.Major(n.device), unix.Minor(n.device)
		if major < 256 && minor < 256 {
			le.PutUint32(iblock, major<<8|minor)
		} else {
			le.PutUint32(iblock[4:], minor&0xff|major<<8|minor&^0xff<<12)
		}
		return nil
	case unix.S_IFIFO:
		return nil
	case unix.S_IFLNK:
		if len(n.target) < fastLink {
			copy(iblock, n.target)
			return nil
		}
	}
	le.PutUint32(raw[0x20:], flagExtents)
	return v.writeExtents(n, iblock)
}

// writeData writes whole blocks to a file's extents.
func (v *volume) writeData(n *inode, data []byte) error {
	for _, e := range n.extents {
		size := e.count * uint64(v.blockSize)
		if err := v.writeAt(e.place, data[:size]); err != nil {
			return err
		}
		data = data[size:]
	}
	return nil
}

func linkCount(n *inode) int {
	if !n.isDir() {
		return n.links
	}
	count := 2
	for _, c := range n.children {
		if c.isDir() {
			count++
		}
	}
	if count > mostSubdirs {
		return 1 // the feature dir_nlink: not counted
	}
	return count
}

// putTimes sets the modification time; the others are now, as after an
// extraction. Times that the inode has no room for are the nearest that it has.
func (v *volume) putTimes(raw []byte, mtime, now time.Time) {
	for _, f := range []struct {
		at, extra int
		t         time.Time
	}{{0x08, 0x8C, now}, {0x0C, 0x84, now}, {0x10, 0x88, mtime}, {0x90, 0x94, now}} {
		if f.at >= 0x80 && v.extraSize < 0x98-0x80 {
			continue
		}
		seconds, nanos := f.t.Unix(), int64(f.t.Nanosecond())
		lowest, highest := int64(-1<<31), int64(1<<31-1)
		if v.extraSize > 0 {
			highest = 1<<34 - 1<<31 - 1
		}
		if seconds < lowest || seconds > highest {
			seconds, nanos = min(max(seconds, lowest), highest), 0
		}
		le.PutUint32(raw[f.at:], uint32(seconds))
		if v.extraSize > 0 {
			epoch := (seconds - int64(int32(seconds))) >> 32 & 3
			le.PutUint32(raw[f.extra:], uint32(nanos)<<2|uint32(epoch))
		}
	}
}

// writeCounts writes bitmaps, descriptors and the super block.
func (v *volume) writeCounts(t *tree) error {
	dirs := make([]uint32, len(v.groups))
	for _, n := range append(t.inodes, t.root) {
		if n.isDir() {
			dirs[(n.number-1)/v.inodesPerGroup]++
		}
	}
	var freeBlocks, freeInodes uint64
	for i, g := range v.groups {
		if err := v.writeGroup(uint64(i), g, dirs[i]); err != nil {
			return err
		}
		freeBlocks += uint64(g.freeBlocks)
		freeInodes += uint64(g.freeInodes)
	}
	table := make([]byte, 0, len(v.groups)*v.descSize)
	for i, g := range v.groups {
		v.sumGroup(uint64(i), g.raw)
		table = append(table, g.raw...)
	}
	if err := v.writeAt(v.first+1, table); err != nil {
		return err
	}
	le.PutUint32(v.super[0x0C:], uint32(freeBlocks))
	if v.incompat&incompat64Bit != 0 {
		le.PutUint32(v.super[0x158:], uint32(freeBlocks>>32))
	}
	le.PutUint32(v.super[0x10:], uint32(freeInodes))
	le.PutUint32(v.super[0x64:], v.ro|roLargeFile)
	if v.hasSums() {
		le.PutUint32(v.super[0x3FC:], crc(^uint32(0), v.super[:0x3FC]))
	}
	_, err := v.file.WriteAt(v.super, superOffset)
	return err
}

// writeGroup writes the bitmaps of a group and completes its descriptor.
func (v *volume) writeGroup(i uint64, g *group, dirs uint32) error {
	from, to := v.groupBlocks(i)
	if i == 0 || g.touched {
		bits := make([]byte, v.blockSize)
		g.freeBlocks = 0
		for n := range uint64(8 * v.blockSize) {
			if from+n >= to || n >= v.perGroup || v.space.has(from+n) {
				bits[n/8] |= 1 << (n % 8)
			} else {
				g.freeBlocks++
			}
		}
		if err := v.writeAt(g.blockBitmap, bits); err != nil {
			return err
		}
		v.sumBitmap(g, bits[:v.perGroup/8], 0x18, 0x38)
		g.flags &^= bgBlockUninit
	}
	if err := v.writeInodeBitmap(uint32(i), g); err != nil {
		return err
	}
	g.dirs = dirs
	if v.lazyTables() && g.unused > 0 {
		// What is not used of the table is not sent: the kernel makes zeros of it after the first mount.
		g.flags &^= bgInodeZeroed
	}
	g.put()
	return nil
}

// writeInodeBitmap marks the numbers that were given, which are in a row.
func (v *volume) writeInodeBitmap(i uint32, g *group) error {
	first := i*v.inodesPerGroup + 1
	if v.nextInode <= first {
		return nil // as mke2fs made it
	}
	used := min(v.nextInode-first, v.inodesPerGroup)
	bits := make([]byte, v.blockSize)
	g.freeInodes = 0
	last := uint32(0) // in use
	for n := range uint32(8 * v.blockSize) {
		if n >= v.inodesPerGroup || n < used || i == 0 && v.usedInodes[n+1] {
			bits[n/8] |= 1 << (n % 8)
			if n < v.inodesPerGroup {
				last = n + 1
			}
		} else {
			g.freeInodes++
		}
	}
	if err := v.writeAt(g.inodeBitmap, bits); err != nil {
		return err
	}
	v.sumBitmap(g, bits[:v.inodesPerGroup/8], 0x1A, 0x3A)
	g.flags &^= bgInodeUninit
	if v.lazyTables() {
		g.unused = v.inodesPerGroup - last
	}
	return nil
}

// put writes the numbers of a descriptor back into its bytes.
func (g *group) put() {
	raw := g.raw
	le.PutUint16(raw[0x0C:], uint16(g.freeBlocks))
	le.PutUint16(raw[0x0E:], uint16(g.freeInodes))
	le.PutUint16(raw[0x10:], uint16(g.dirs))
	le.PutUint16(raw[0x12:], g.flags)
	le.PutUint16(raw[0x1C:], uint16(g.unused))
	if len(raw) >= 64 {
		le.PutUint16(raw[0x2C:], uint16(g.freeBlocks>>16))
		le.PutUint16(raw[0x2E:], uint16(g.freeInodes>>16))
		le.PutUint16(raw[0x30:], uint16(g.dirs>>16))
		le.PutUint16(raw[0x32:], uint16(g.unused>>16))
	}
}
