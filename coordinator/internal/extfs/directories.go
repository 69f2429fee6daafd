package extfs

import (
	"maps"
	"slices"

	"golang.org/x/sys/unix"
)

const (
	direntHead = 8
	direntTail = 12 // of a block with a sum
)

func sortedNames(d *inode) []string { return slices.Sorted(maps.Keys(d.children)) }

// direntType is the type of a file in a directory entry.
func direntType(n *inode) byte {
	switch n.kind() {
	case unix.S_IFREG:
		return 1
	case unix.S_IFDIR:
		return 2
	case unix.S_IFCHR:
		return 3
	case unix.S_IFBLK:
		return 4
	case unix.S_IFIFO:
		return 5
	}
	return 7 // symbolic link
}

// direntRoom is what a block has for entries.
func (v *volume) direntRoom() int {
	if v.hasSums() {
		return v.blockSize - direntTail
	}
	return v.blockSize
}

// directoryBlocks is how many blocks the entries of d take.
func (v *volume) directoryBlocks(d *inode) int {
	blocks, used := 1, 24 // "." and ".."
	for _, name := range sortedNames(d) {
		size := pad4(direntHead + len(name))
		if used+size > v.direntRoom() {
			blocks, used = blocks+1, 0
		}
		used += size
	}
	return blocks
}

// directoryData is the content of d: plain blocks of entries, without index.
func (v *volume) directoryData(d *inode, blocks int) []byte {
	data := make([]byte, 0, blocks*v.blockSize)
	w := &direntWriter{v: v, dir: d, data: data}
	w.begin()
	w.add(".", d)
	w.add("..", d.parent)
	for _, name := range sortedNames(d) {
		w.add(name, d.children[name])
	}
	for w.end(); len(w.data) < blocks*v.blockSize; w.end() {
		w.begin() // lost+found keeps room in reserve
	}
	return w.data
}

// direntWriter fills one block after the other.
type direntWriter struct {
	v    *volume
	dir  *inode
	data []byte // whole blocks; the last one is being filled
	used int    // of the last one
	last int    // offset in data of its last entry, -1 if none
}

func (w *direntWriter) begin() {
	w.data = append(w.data, make([]byte, w.v.blockSize)...)
	w.used, w.last = 0, -1
}

func (w *direntWriter) block() []byte { return w.data[len(w.data)-w.v.blockSize:] }

func (w *direntWriter) add(name string, n *inode) {
	size := pad4(direntHead + len(name))
	if w.used+size > w.v.direntRoom() {
		w.end()
		w.begin()
	}
	e := w.block()[w.used:]
	le.PutUint32(e, n.number)
	le.PutUint16(e[4:], uint16(size))
	e[6], e[7] = byte(len(name)), direntType(n)
	copy(e[direntHead:], name)
	w.last, w.used = w.used, w.used+size
}

// end gives what is left of the block to its last entry, and adds the sum.
func (w *direntWriter) end() {
	block, room := w.block(), w.v.direntRoom()
	at := max(w.last, 0) // no entry at all: an unused one that fills the block
	le.PutUint16(block[at+4:], uint16(room-at))
	if w.v.hasSums() {
		tail := block[room:]
		le.PutUint16(tail[4:], direntTail)
		tail[7] = 0xDE
		le.PutUint32(tail[8:], crc(w.v.inodeSeed(w.dir.number), block[:room]))
	}
}
