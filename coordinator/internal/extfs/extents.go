package extfs

import "errors"

var errFull = errors.New("the file system is full")

// extent is a range of a file's blocks that are in a row on the disk.
type extent struct {
	logical, place, count uint64
}

const (
	extentMagic   = 0xF30A
	extentSize    = 12      // of an entry, and of the header of a node
	extentMost    = 1 << 15 // blocks in one
	inodeExtents  = 4       // entries that an inode has room for
	maxFileBlocks = 1<<32 - 2
)

// perNode is how many entries a block of the tree has.
func (v *volume) perNode() int { return (v.blockSize - extentSize) / extentSize }

// treeNodes is how many blocks the tree of n extents takes.
func (v *volume) treeNodes(n int) (nodes int) {
	for n > inodeExtents {
		n = (n + v.perNode() - 1) / v.perNode()
		nodes += n
	}
	return nodes
}

// allocate finds room for count blocks of n, from its block logical on.
func (v *volume) allocate(n *inode, logical, count uint64) error {
	for count > 0 {
		from, to, ok := v.take(min(count, extentMost))
		if !ok {
			return errFull
		}
		got := to - from
		if last := len(n.extents) - 1; last >= 0 && n.extents[last].logical+n.extents[last].count == logical &&
			n.extents[last].place+n.extents[last].count == from && n.extents[last].count+got <= extentMost {
			n.extents[last].count += got
		} else {
			n.extents = append(n.extents, extent{logical, from, got})
		}
		n.blocks += got
		logical, count = logical+got, count-got
	}
	return nil
}

// allocateTree finds room for the blocks of the extent tree.
func (v *volume) allocateTree(n *inode) error {
	for range v.treeNodes(len(n.extents)) {
		b, err := v.takeOne()
		if err != nil {
			return err
		}
		n.nodes = append(n.nodes, b)
		n.blocks++
	}
	return nil
}

// extentHeader begins a node.
func extentHeader(p []byte, entries, most, depth int) {
	le.PutUint16(p[0:], extentMagic)
	le.PutUint16(p[2:], uint16(entries))
	le.PutUint16(p[4:], uint16(most))
	le.PutUint16(p[6:], uint16(depth))
	le.PutUint32(p[8:], 0)
}

// entry is a line of a node: an extent, or a node of the level below.
type entry struct {
	logical uint64
	raw     [extentSize]byte
}

func extentEntry(e extent) entry {
	out := entry{logical: e.logical}
	le.PutUint32(out.raw[0:], uint32(e.logical))
	le.PutUint16(out.raw[4:], uint16(e.count))
	le.PutUint16(out.raw[6:], uint16(e.place>>32))
	le.PutUint32(out.raw[8:], uint32(e.place))
	return out
}

func indexEntry(logical, place uint64) entry {
	out := entry{logical: logical}
	le.PutUint32(out.raw[0:], uint32(logical))
	le.PutUint32(out.raw[4:], uint32(place))
	le.PutUint16(out.raw[8:], uint16(place>>32))
	return out
}

// writeExtents writes the tree's blocks, and puts its root into iblock, the 60
// bytes of the inode that are for it.
func (v *volume) writeExtents(n *inode, iblock []byte) error {
	level := make([]entry, len(n.extents))
	for i, e := range n.extents {
		level[i] = extentEntry(e)
	}
	nodes, depth := n.nodes, 0
	for len(level) > inodeExtents {
		var above []entry
		for from := 0; from < len(level); from += v.perNode() {
			part := level[from:min(from+v.perNode(), len(level))]
			if err := v.writeNode(n, nodes[0], part, depth); err != nil {
				return err
			}
			above = append(above, indexEntry(part[0].logical, nodes[0]))
			nodes = nodes[1:]
		}
		level = above
		depth++
	}
	extentHeader(iblock, len(level), inodeExtents, depth)
	for i, e := range level {
		copy(iblock[extentSize*(i+1):], e.raw[:])
	}
	return nil
}

func (v *volume) writeNode(n *inode, place uint64, part []entry, depth int) error {
	block := make([]byte, v.blockSize)
	extentHeader(block, len(part), v.perNode(), depth)
	for i, e := range part {
		copy(block[extentSize*(i+1):], e.raw[:])
	}
	if v.hasSums() {
		end := extentSize * (v.perNode() + 1)
		le.PutUint32(block[end:], crc(v.inodeSeed(n.number), block[:end]))
	}
	return v.writeAt(place, block)
}
