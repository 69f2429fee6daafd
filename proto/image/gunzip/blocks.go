package gunzip

import "io"

// block reads the header of a block (RFC 1951, 3.2.3).
func (r *Reader) block() error {
	if r.last {
		r.last, r.state = false, trailer
		return nil
	}
	r.fill()
	r.last = r.take(1) == 1
	switch r.take(2) {
	case 0:
		return r.storedHeader()
	case 1:
		r.fixed()
	case 2:
		if err := r.dynamic(); err != nil {
			return err
		}
	default:
		return corrupt("a block of an unknown kind")
	}
	r.state = symbols
	return nil
}

func (r *Reader) storedHeader() error {
	r.align()
	n, not := r.take(16), r.take(16)
	if n^not != 0xffff {
		if r.consumed() > r.end {
			return io.ErrUnexpectedEOF
		}
		return corrupt("the size of a stored block")
	}
	r.align()
	r.left, r.state = int(n), stored
	return nil
}

func (r *Reader) stored() error {
	r.fill()
	n := max(min(r.left, r.end-r.pos, window+chunk-r.to), 0)
	if n == 0 && r.left > 0 {
		return io.ErrUnexpectedEOF
	}
	copy(r.out[r.to:], r.in[r.pos:r.pos+n])
	r.to, r.pos, r.left = r.to+n, r.pos+n, r.left-n
	if r.left == 0 {
		r.state = block
	}
	return nil
}

// fixed makes the tables of the fixed codes (RFC 1951, 3.2.6).
func (r *Reader) fixed() {
	var lengths [litCodes]uint8
	for i := range lengths {
		switch {
		case i < 144:
			lengths[i] = 8
		case i < 256:
			lengths[i] = 9
		case i < 280:
			lengths[i] = 7
		default:
			lengths[i] = 8
		}
	}
	build(r.tables.lit[:], mainBits, lengths[:], literal)
	var dist [distCodes]uint8
	for i := range dist {
		dist[i] = 5
	}
	build(r.tables.dist[:], distMain, dist[:], distance)
}

// order is that of the lengths of the codes for lengths (RFC 1951, 3.2.7).
var order = [...]uint8{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}

// dynamic reads the codes of a block.
func (r *Reader) dynamic() error {
	nlit, ndist, nlen := int(r.take(5))+257, int(r.take(5))+1, int(r.take(4))+4
	if nlit > litCodes-2 || ndist > distCodes-2 {
		return corrupt("%d and %d codes", nlit, ndist)
	}
	var first [len(order)]uint8
	for _, i := range order[:nlen] {
		first[i] = uint8(r.take(3))
	}
	var table [1 << codeMain]uint32
	if !build(table[:], codeMain, first[:], number) {
		return corrupt("the code of the codes' lengths")
	}
	var lengths [litCodes + distCodes]uint8
	if err := r.lengths(&table, lengths[:nlit+ndist]); err != nil {
		return err
	}
	if !build(r.tables.lit[:], mainBits, lengths[:nlit], literal) ||
		!build(r.tables.dist[:], distMain, lengths[nlit:nlit+ndist], distance) {
		return corrupt("a code is not complete")
	}
	return nil
}

// lengths reads the lengths of all codes, which are compressed themselves.
func (r *Reader) lengths(table *[1 << codeMain]uint32, lengths []uint8) error {
	for i := 0; i < len(lengths); {
		if r.count < codeMain {
			r.refill()
		}
		e := table[r.bits&(1<<codeMain-1)]
		if e&isOther != 0 {
			return corrupt("the length of a code")
		}
		r.take(uint(e & 0xff))
		symbol := int(e >> 16)
		if symbol < 16 {
			lengths[i] = uint8(symbol)
			i++
			continue
		}
		var value uint8
		var n int
		switch symbol {
		case 16:
			if i == 0 {
				return corrupt("nothing to repeat")
			}
			value, n = lengths[i-1], 3+int(r.take(2))
		case 17:
			n = 3 + int(r.take(3))
		default:
			n = 11 + int(r.take(7))
		}
		if n > len(lengths)-i {
			return corrupt("more lengths than codes")
		}
		for range n {
			lengths[i] = value
			i++
		}
	}
	return nil
}
