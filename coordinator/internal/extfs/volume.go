package extfs

import (
	"encoding/binary"
	"fmt"
	"os"
)

var le = binary.LittleEndian

// Features of ext4 (Documentation/filesystems/ext4, "Super Block") that matter here.
const (
	incompatFiletype = 0x2
	incompatExtents  = 0x40
	incompat64Bit    = 0x80
	incompatFlexBG   = 0x200
	incompatCsumSeed = 0x2000

	roSparseSuper  = 0x1
	roLargeFile    = 0x2
	roHugeFile     = 0x8
	roGDTCsum      = 0x10
	roDirNlink     = 0x20
	roExtraIsize   = 0x40
	roMetadataCsum = 0x400
)

// What this package can write; everything compatible is as it is.
const (
	knownCompat   = 0x4 | 0x8 | 0x10 | 0x20 | 0x1 | 0x400 | 0x1000 // has_journal ext_attr resize_inode dir_index dir_prealloc fast_commit orphan_file
	knownIncompat = incompatFiletype | incompatExtents | incompat64Bit | incompatFlexBG | incompatCsumSeed
	needIncompat  = incompatFiletype | incompatExtents
	knownRO       = roSparseSuper | roLargeFile | roHugeFile | roGDTCsum | roDirNlink | roExtraIsize | roMetadataCsum
)

// Flags of a group descriptor.
const (
	bgInodeUninit = 1
	bgBlockUninit = 2
	bgInodeZeroed = 4
)

const (
	superOffset = 1024
	superSize   = 1024
	rootInode   = 2
	lostInode   = 11
)

// volume is an ext4 file system in a file.
type volume struct {
	file  *os.File
	super []byte

	blockSize      int
	blocks, first  uint64 // number of blocks; the first one that counts
	perGroup       uint64 // blocks
	inodes         uint32
	inodesPerGroup uint32
	inodeSize      int
	extraSize      int // i_extra_isize
	descSize       int
	reservedGDT    uint64
	incompat, ro   uint32
	seed           uint32 // of checksums
	groups         []*group
	space          bitmap // blocks in use
	cursor         uint64 // no block before it is free
	freeAtFirst    uint64
	nextInode      uint32
	usedInodes     map[uint32]bool // of the first group, when it was made
	lostIs         int             // blocks of lost+found
}

// group is a descriptor, as it is on the disk and in numbers.
type group struct {
	raw                              []byte
	blockBitmap, inodeBitmap, itable uint64
	flags                            uint16
	freeBlocks, freeInodes, unused   uint32
	dirs                             uint32
	touched                          bool // an inode or a block of it was taken
}

func openVolume(f *os.File) (*volume, error) {
	v := &volume{file: f, super: make([]byte, superSize), usedInodes: map[uint32]bool{}}
	if _, err := f.ReadAt(v.super, superOffset); err != nil {
		return nil, err
	}
	if err := v.readSuper(); err != nil {
		return nil, err
	}
	return v, v.readGroups()
}

func (v *volume) u16(at int) uint16 { return le.Uint16(v.super[at:]) }
func (v *volume) u32(at int) uint32 { return le.Uint32(v.super[at:]) }

// readSuper refuses whatever would be written wrongly.
func (v *volume) readSuper() error {
	if v.u16(0x38) != 0xEF53 {
		return unsuitable("what mke2fs made is not ext4")
	}
	compat, incompat, ro := v.u32(0x5C), v.u32(0x60), v.u32(0x64)
	if compat&^knownCompat != 0 || incompat&^knownIncompat != 0 || incompat&needIncompat != needIncompat || ro&^knownRO != 0 {
		return unsuitable("the site's mkfs arguments ask for features %#x %#x %#x of ext4", compat, incompat, ro)
	}
	v.incompat, v.ro = incompat, ro
	if v.u32(0x18) > 2 {
		return unsuitable("blocks larger than 4096 bytes")
	}
	v.blockSize = 1024 << v.u32(0x18)
	v.blocks, v.first = uint64(v.u32(0x04)), uint64(v.u32(0x14))
	v.descSize = 32
	if incompat&incompat64Bit != 0 {
		v.blocks |= uint64(v.u32(0x150)) << 32
		v.descSize = int(v.u16(0xFE))
	}
	v.perGroup, v.inodesPerGroup = uint64(v.u32(0x20)), v.u32(0x28)
	v.inodes, v.inodeSize = v.u32(0x00), int(v.u16(0x58))
	v.reservedGDT = uint64(v.u16(0xCE))
	if v.inodeSize > 128 {
		v.extraSize = int(v.u16(0x15E))
	}
	if v.perGroup == 0 || v.perGroup > uint64(8*v.blockSize) || v.inodesPerGroup == 0 || v.inodesPerGroup%8 != 0 || v.perGroup%8 != 0 ||
		v.inodeSize < 128 || v.inodeSize > v.blockSize || v.descSize < 32 || v.descSize > 64 || v.first > 1 || v.blocks <= v.first ||
		v.extraSize < 0 || 128+v.extraSize > v.inodeSize || v.extraSize%4 != 0 || v.inodeSize > 128 && v.extraSize < 28 {
		return unsuitable("a geometry of ext4 that is not known")
	}
	v.seed = crc(^uint32(0), v.super[0x68:0x78])
	if incompat&incompatCsumSeed != 0 {
		v.seed = v.u32(0x270)
	}
	return nil
}

func (v *volume) hasSums() bool { return v.ro&roMetadataCsum != 0 }

// lazyTables reports that unused parts of inode tables need not be zeros.
func (v *volume) lazyTables() bool { return v.ro&(roMetadataCsum|roGDTCsum) != 0 }

func (v *volume) groupCount() uint64 { return (v.blocks - v.first + v.perGroup - 1) / v.perGroup }

// groupBlocks is the range of a group.
func (v *volume) groupBlocks(g uint64) (from, to uint64) {
	from = v.first + g*v.perGroup
	return from, min(from+v.perGroup, v.blocks)
}

func (v *volume) tableBlocks() uint64 {
	return (uint64(v.inodesPerGroup)*uint64(v.inodeSize) + uint64(v.blockSize) - 1) / uint64(v.blockSize)
}

// hasBackup reports the groups that begin with a copy of the super block.
func (v *volume) hasBackup(g uint64) bool {
	if g <= 1 || v.ro&roSparseSuper == 0 {
		return true
	}
	for _, base := range []uint64{3, 5, 7} {
		n := base
		for n < g {
			n *= base
		}
		if n == g {
			return true
		}
	}
	return false
}

func (v *volume) descriptorBlocks() uint64 {
	return (v.groupCount()*uint64(v.descSize) + uint64(v.blockSize) - 1) / uint64(v.blockSize)
}

func (v *volume) readAt(block uint64, p []byte) error {
	_, err := v.file.ReadAt(p, int64(block)*int64(v.blockSize))
	return err
}

func (v *volume) writeAt(block uint64, p []byte) error {
	_, err := v.file.WriteAt(p, int64(block)*int64(v.blockSize))
	return err
}

// readGroups reads the descriptors and which blocks and inodes are in use.
func (v *volume) readGroups() error {
	table := make([]byte, v.groupCount()*uint64(v.descSize))
	if err := v.readAt(v.first+1, table); err != nil {
		return err
	}
	for at := 0; at < len(table); at += v.descSize {
		v.groups = append(v.groups, parseGroup(table[at:at+v.descSize]))
	}
	v.space = newBitmap(v.blocks)
	for b := range v.first {
		v.space.set(b)
	}
	for i, g := range v.groups {
		if err := v.readBlockBitmap(uint64(i), g); err != nil {
			return err
		}
	}
	v.freeAtFirst = v.space.free()
	bits := make([]byte, v.inodesPerGroup/8)
	if err := v.readAt(v.groups[0].inodeBitmap, bits); err != nil {
		return err
	}
	for i := range v.inodesPerGroup {
		if bits[i/8]&(1<<(i%8)) != 0 {
			v.usedInodes[i+1] = true
		}
	}
	v.nextInode = lostInode + 1
	return nil
}

func parseGroup(raw []byte) *group {
	g := &group{
		raw:         raw,
		blockBitmap: uint64(le.Uint32(raw[0x00:])), inodeBitmap: uint64(le.Uint32(raw[0x04:])), itable: uint64(le.Uint32(raw[0x08:])),
		freeBlocks: uint32(le.Uint16(raw[0x0C:])), freeInodes: uint32(le.Uint16(raw[0x0E:])), dirs: uint32(le.Uint16(raw[0x10:])),
		flags: le.Uint16(raw[0x12:]), unused: uint32(le.Uint16(raw[0x1C:])),
	}
	if len(raw) >= 64 {
		g.blockBitmap |= uint64(le.Uint32(raw[0x20:])) << 32
		g.inodeBitmap |= uint64(le.Uint32(raw[0x24:])) << 32
		g.itable |= uint64(le.Uint32(raw[0x28:])) << 32
		g.freeBlocks |= uint32(le.Uint16(raw[0x2C:])) << 16
		g.freeInodes |= uint32(le.Uint16(raw[0x2E:])) << 16
		g.dirs |= uint32(le.Uint16(raw[0x30:])) << 16
		g.unused |= uint32(le.Uint16(raw[0x32:])) << 16
	}
	return g
}

// readBlockBitmap takes the bitmap of a group, or works out what it would be if
// it is not on the disk yet.
func (v *volume) readBlockBitmap(i uint64, g *group) error {
	from, to := v.groupBlocks(i)
	if g.blockBitmap >= v.blocks || g.inodeBitmap >= v.blocks || g.itable+v.tableBlocks() > v.blocks {
		return fmt.Errorf("group %d has its tables outside of the file system", i)
	}
	if v.lazyTables() && g.flags&bgBlockUninit != 0 {
		if v.hasBackup(i) {
			v.space.setRange(from, min(to, from+1+v.descriptorBlocks()+v.reservedGDT))
		}
	} else {
		bits := make([]byte, v.blockSize)
		if err := v.readAt(g.blockBitmap, bits); err != nil {
			return err
		}
		for b := from; b < to; b++ {
			if n := b - from; bits[n/8]&(1<<(n%8)) != 0 {
				v.space.set(b)
			}
		}
	}
	v.space.set(g.blockBitmap)
	v.space.set(g.inodeBitmap)
	v.space.setRange(g.itable, g.itable+v.tableBlocks())
	return nil
}
