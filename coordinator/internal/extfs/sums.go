package extfs

import "hash/crc32"

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// crc is CRC32C as ext4 chains it: without the inversions at both ends.
func crc(start uint32, p []byte) uint32 { return ^crc32.Update(^start, castagnoli, p) }

func crc32le(start uint32, n uint32) uint32 { return crc(start, le.AppendUint32(nil, n)) }
func crc64le(start uint32, n uint64) uint32 { return crc(start, le.AppendUint64(nil, n)) }

// crc16 is CRC-16 (polynomial 0x8005, reflected), of group descriptors without
// metadata_csum.
func crc16(start uint16, p []byte) uint16 {
	for _, b := range p {
		start ^= uint16(b)
		for range 8 {
			if start&1 != 0 {
				start = start>>1 ^ 0xA001
			} else {
				start >>= 1
			}
		}
	}
	return start
}

// inodeSeed starts the sums of what belongs to an inode; generations are zero.
func (v *volume) inodeSeed(number uint32) uint32 { return crc32le(crc32le(v.seed, number), 0) }

// sumInode puts the sum into an inode of the table.
func (v *volume) sumInode(number uint32, raw []byte) {
	if !v.hasSums() {
		return
	}
	wide := len(raw) > 128 && v.extraSize >= 4
	le.PutUint16(raw[0x7C:], 0)
	if wide {
		le.PutUint16(raw[0x82:], 0)
	}
	sum := crc(v.inodeSeed(number), raw)
	le.PutUint16(raw[0x7C:], uint16(sum))
	if wide {
		le.PutUint16(raw[0x82:], uint16(sum>>16))
	}
}

// sumGroup puts the sum into a descriptor.
func (v *volume) sumGroup(i uint64, raw []byte) {
	le.PutUint16(raw[0x1E:], 0)
	switch {
	case v.hasSums():
		le.PutUint16(raw[0x1E:], uint16(crc(crc32le(v.seed, uint32(i)), raw)))
	case v.lazyTables():
		sum := crc16(^uint16(0), v.super[0x68:0x78])
		sum = crc16(sum, le.AppendUint32(nil, uint32(i)))
		sum = crc16(sum, raw[:0x1E])
		le.PutUint16(raw[0x1E:], crc16(sum, raw[0x20:]))
	}
}

// sumBitmap puts the sum of a bitmap into the group's descriptor, at lo and hi.
func (v *volume) sumBitmap(g *group, bits []byte, lo, hi int) {
	if !v.hasSums() {
		return
	}
	sum := crc(v.seed, bits)
	le.PutUint16(g.raw[lo:], uint16(sum))
	if len(g.raw) >= 64 {
		le.PutUint16(g.raw[hi:], uint16(sum>>16))
	}
}
