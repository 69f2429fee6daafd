package extfs

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// fastLink is the length from which a link's target has a block of its own.
const fastLink = 60

// reserve is left free beside what is needed: nothing fits exactly when free
// space is in pieces.
const reserve = 64

// lacks tells how many blocks and inodes the volume has too few for the tree.
func (v *volume) lacks(t *tree) (blocks, inodes int64) {
	need := int64(reserve)
	for _, n := range append(t.inodes, t.root) {
		need += v.needs(n)
	}
	free := int64(le.Uint32(v.super[0x10:])) // inodes
	return need - int64(v.freeAtFirst), int64(len(t.inodes)+16) - free
}

// needs is an upper bound of the blocks of an inode: its extents may be split at
// the borders of groups.
func (v *volume) needs(n *inode) int64 {
	blocks, pieces := uint64(0), 0
	for _, r := range v.ranges(n) {
		blocks += r.count
		pieces += 2 + int(r.count/min(extentMost, v.perGroup/2))
	}
	if pieces > inodeExtents {
		blocks += uint64(v.treeNodes(pieces))
	}
	if len(n.xattrs) > 0 {
		blocks++
	}
	return int64(blocks)
}

// ranges are the blocks of a file that have a place, by their number in the file.
func (v *volume) ranges(n *inode) []extent {
	size := uint64(v.blockSize)
	up := func(bytes int64) uint64 { return (uint64(bytes) + size - 1) / size }
	switch {
	case n.isDir():
		return []extent{{count: uint64(v.directoryBlocks(n))}}
	case n.kind() == unix.S_IFLNK && len(n.target) >= fastLink:
		return []extent{{count: 1}}
	case n.kind() == unix.S_IFREG && n.sparse:
		var list []extent
		for _, r := range n.runs {
			from := uint64(r.from) / size
			list = append(list, extent{logical: from, count: up(r.to) - from})
		}
		return list
	case n.kind() == unix.S_IFREG && n.size > 0:
		return []extent{{count: up(n.size)}}
	}
	return nil
}

// place gives every inode its number and every block its place: directories and
// other small things first, then the contents in the archive's order.
func (v *volume) place(t *tree) error {
	if err := v.takeOver(t); err != nil {
		return err
	}
	for _, n := range t.inodes {
		if n.number == 0 {
			for v.usedInodes[v.nextInode] {
				v.nextInode++
			}
			n.number = v.nextInode
			v.nextInode++
		}
		if n.number > v.inodes {
			return errors.New("no inodes are left")
		}
		v.groups[(n.number-1)/v.inodesPerGroup].touched = true
	}
	for _, n := range append(t.inodes, t.root) {
		if n.kind() != unix.S_IFREG {
			if err := v.placeOne(n); err != nil {
				return err
			}
		}
	}
	return v.placeFiles(t)
}

func (v *volume) placeFiles(t *tree) error {
	for _, n := range t.byEntry() {
		if err := v.placeOne(n); err != nil {
			return err
		}
	}
	return nil
}

func (v *volume) placeOne(n *inode) error {
	if n.kind() == unix.S_IFLNK && len(n.target) >= v.blockSize {
		return fmt.Errorf("the target of a link has %d bytes, blocks have %d", len(n.target), v.blockSize)
	}
	ranges := v.ranges(n)
	if n.isDir() && n.number == lostInode {
		ranges[0].count = max(ranges[0].count, uint64(v.lostIs))
	}
	for _, r := range ranges {
		if r.logical+r.count > maxFileBlocks {
			return unsuitable("a file of %d blocks", r.logical+r.count)
		}
		if err := v.allocate(n, r.logical, r.count); err != nil {
			return err
		}
	}
	if err := v.allocateTree(n); err != nil {
		return err
	}
	if len(n.xattrs) == 0 {
		return nil
	}
	inside, err := v.xattrsFit(n)
	if err != nil || inside {
		return err
	}
	if n.xblock, err = v.takeOne(); err == nil {
		n.blocks++
	}
	return err
}

// takeOver makes the directories that mke2fs made those of the tree, and frees
// their blocks. Those of the archive have their owner and mode from there.
func (v *volume) takeOver(t *tree) error {
	lost := t.root.children[lostAndFound]
	for number, d := range map[uint32]*inode{rootInode: t.root, lostInode: lost} {
		raw, err := v.readInode(number)
		if err != nil {
			return err
		}
		d.number = number
		count := 0
		if le.Uint16(raw[0x28:]) != extentMagic || le.Uint16(raw[0x2E:]) != 0 {
			return unsuitable("directories of a new file system without extents")
		}
		for i := range min(int(le.Uint16(raw[0x2A:])), inodeExtents) {
			e := raw[0x28+extentSize*(i+1):]
			from := uint64(le.Uint32(e[8:])) | uint64(le.Uint16(e[6:]))<<32
			for b := from; b < from+uint64(le.Uint16(e[4:])) && b < v.blocks; b++ {
				v.space.unset(b)
				count++
			}
		}
		if number == lostInode {
			v.lostIs = count
		}
		if !d.given {
			d.mode = uint32(le.Uint16(raw))
			d.uid = uint32(le.Uint16(raw[2:])) | uint32(le.Uint16(raw[0x78:]))<<16
			d.gid = uint32(le.Uint16(raw[0x18:])) | uint32(le.Uint16(raw[0x7A:]))<<16
		}
	}
	return nil
}

func (v *volume) inodeOffset(number uint32) int64 {
	g := v.groups[(number-1)/v.inodesPerGroup]
	return int64(g.itable)*int64(v.blockSize) + int64((number-1)%v.inodesPerGroup)*int64(v.inodeSize)
}

func (v *volume) readInode(number uint32) ([]byte, error) {
	raw := make([]byte, v.inodeSize)
	_, err := v.file.ReadAt(raw, v.inodeOffset(number))
	return raw, err
}
