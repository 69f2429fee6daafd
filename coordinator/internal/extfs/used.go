package extfs

import (
	"fmt"
	"os"

	"kadeploy/proto/image/blocks"
)

// Used tells which blocks of a file system that Make made matter, with the facts
// about it. The free ones do not; nor do the parts of inode tables that are not in
// use, which the kernel clears after the first mount, and the room that is reserved
// beside the copies of the descriptors, which is written before it is read.
func Used(path string) (blocks.Header, []blocks.Range, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return blocks.Header{}, nil, err
	}
	defer f.Close()
	v, err := openVolume(f)
	if err != nil {
		return blocks.Header{}, nil, fmt.Errorf("%s: %w", path, err)
	}
	for i, g := range v.groups {
		if v.lazyTables() {
			unused := min(g.unused, v.inodesPerGroup)
			used := (uint64(v.inodesPerGroup-unused)*uint64(v.inodeSize) + uint64(v.blockSize) - 1) / uint64(v.blockSize)
			v.space.unsetRange(g.itable+used, g.itable+v.tableBlocks())
		}
		if i > 0 && v.hasBackup(uint64(i)) {
			from, to := v.groupBlocks(uint64(i))
			from += 1 + v.descriptorBlocks()
			v.space.unsetRange(from, min(to, from+v.reservedGDT))
		}
	}
	facts := blocks.Header{
		BlockSize: v.blockSize, Blocks: v.blocks, UUID: [16]byte(v.super[0x68:0x78]),
		Features: [3]uint32{v.u32(0x5C), v.incompat, v.ro},
	}
	return facts, v.space.ranges(), nil
}
