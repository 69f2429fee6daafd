package extfs

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strings"

	"kadeploy/proto/image/posixacl"
)

const (
	xattrMagic  = 0xEA020000
	xattrEntry  = 16 // bytes of an entry before its name
	xattrHeader = 32 // of a block of attributes
)

// xattr is an extended attribute as ext4 names it.
type xattr struct {
	index uint8
	name  string
	value []byte
}

// diskXattrs are the attributes of an inode in the order that a block wants.
func (n *inode) diskXattrs() []xattr {
	var list []xattr
	for name, value := range n.xattrs {
		prefix, rest, _ := strings.Cut(name, ".")
		x := xattr{name: rest, value: value}
		switch {
		case name == aclAccess:
			x.index, x.name = 2, ""
		case name == aclDefault:
			x.index, x.name = 3, ""
		case prefix == "user":
			x.index = 1
		case prefix == "trusted":
			x.index = 4
		default:
			x.index = 6 // security
		}
		list = append(list, x)
	}
	slices.SortFunc(list, func(a, b xattr) int {
		return cmp.Or(cmp.Compare(a.index, b.index), cmp.Compare(len(a.name), len(b.name)), strings.Compare(a.name, b.name))
	})
	return list
}

func pad4(n int) int { return (n + 3) &^ 3 }

// xattrBytes is the room that a list takes, with the zero that ends it.
func xattrBytes(list []xattr) int {
	size := 4
	for _, x := range list {
		size += pad4(xattrEntry+len(x.name)) + pad4(len(x.value))
	}
	return size
}

// xattrRoom is what an inode has for attributes of its own.
func (v *volume) xattrRoom() int {
	if v.inodeSize <= 128 {
		return 0
	}
	return max(v.inodeSize-128-v.extraSize-4, 0)
}

// xattrsFit reports where a list goes: into the inode, or into a block. A list
// too long for both cannot be set on ext4 either.
func (v *volume) xattrsFit(n *inode) (inside bool, err error) {
	size := xattrBytes(n.diskXattrs())
	if size <= v.xattrRoom() {
		return true, nil
	}
	if size > v.blockSize-xattrHeader {
		return false, fmt.Errorf("its extended attributes take %d bytes, and ext4 has room for %d", size, v.blockSize-xattrHeader)
	}
	return false, nil
}

// putXattrs writes entries from the front of area and values from its end.
// Offsets of values count from base bytes before area.
func putXattrs(area []byte, base int, list []xattr) (hashes []uint32) {
	at, end := 0, len(area)
	for _, x := range list {
		end -= pad4(len(x.value))
		hash := xattrHash(x)
		hashes = append(hashes, hash)
		e := area[at:]
		e[0], e[1] = uint8(len(x.name)), x.index
		if len(x.value) > 0 {
			le.PutUint16(e[2:], uint16(base+end))
		}
		le.PutUint32(e[4:], 0)
		le.PutUint32(e[8:], uint32(len(x.value)))
		le.PutUint32(e[12:], hash)
		copy(e[xattrEntry:], x.name)
		copy(area[end:], x.value)
		at += pad4(xattrEntry + len(x.name))
	}
	return hashes
}

// xattrHash is ext4_xattr_hash_entry.
func xattrHash(x xattr) uint32 {
	var h uint32
	for i := range len(x.name) {
		h = h<<5 ^ h>>27 ^ uint32(x.name[i])
	}
	padded := append(bytes.Clone(x.value), make([]byte, pad4(len(x.value))-len(x.value))...)
	for ; len(padded) > 0; padded = padded[4:] {
		h = h<<16 ^ h>>16 ^ le.Uint32(padded)
	}
	return h
}

// writeXattrs puts the attributes into the inode, or into their block.
func (v *volume) writeXattrs(n *inode, raw []byte) error {
	list := n.diskXattrs()
	if len(list) == 0 {
		return nil
	}
	if n.xblock == 0 {
		area := raw[128+v.extraSize:]
		le.PutUint32(area, xattrMagic)
		putXattrs(area[4:], 0, list)
		return nil
	}
	block := make([]byte, v.blockSize)
	le.PutUint32(block[0:], xattrMagic)
	le.PutUint32(block[4:], 1) // references
	le.PutUint32(block[8:], 1) // blocks
	var hash uint32
	for _, h := range putXattrs(block[xattrHeader:], xattrHeader, list) {
		if h == 0 {
			hash = 0 // such a block is not shared
			break
		}
		hash = hash<<16 ^ hash>>16 ^ h
	}
	le.PutUint32(block[12:], hash)
	if v.hasSums() {
		le.PutUint32(block[16:], crc(crc64le(v.seed, n.xblock), block))
	}
	return v.writeAt(n.xblock, block)
}

// diskACL is a list as ext4 stores it: shorter than the kernel's own form.
func diskACL(list []posixacl.Entry) []byte {
	out := le.AppendUint32(nil, 1)
	for _, e := range list {
		out = le.AppendUint16(out, e.Tag)
		out = le.AppendUint16(out, e.Perm)
		if e.Tag == posixacl.User || e.Tag == posixacl.Group {
			out = le.AppendUint32(out, e.ID)
		}
	}
	return out
}
