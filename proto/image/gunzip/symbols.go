package gunzip

import (
	"encoding/binary"
	"io"
)

// symbols decodes a block until it ends, the output is full, or the input is
// short. All limits are looked at once per turn, which takes one match or up to
// three literals: 8 bytes of input are there for each of two refills, and the longest
// match and some more have room.
func (r *Reader) symbols() error {
	r.fill()
	var (
		in, pos = r.in, r.pos
		b, n    = r.bits, r.count
		out, to = r.out, r.to
		lit     = &r.tables.lit
		dist    = &r.tables.dist
		inEnd   = r.end - 16
		err     error
	)
	if r.atEnd {
		inEnd += most // zeros
	}
	for to < window+chunk {
		if pos > inEnd {
			if r.atEnd {
				err = io.ErrUnexpectedEOF
			}
			break
		}
		b |= binary.LittleEndian.Uint64(in[pos:]) << (n & 63)
		pos += int((63 - n) >> 3)
		n |= 56
		e := lit[b&(mainSize-1)]
		if e&isLiteral != 0 { // twice 11 bits at most
			b >>= e & 63
			n -= uint(e & 63)
			out[to] = byte(e >> 16)
			to++
			e = lit[b&(mainSize-1)]
			if e&isLiteral != 0 {
				b >>= e & 63
				n -= uint(e & 63)
				out[to] = byte(e >> 16)
				to++
				e = lit[b&(mainSize-1)]
			}
		}
		if e&isOther != 0 {
			if e&isSecond != 0 {
				b >>= mainBits
				n -= mainBits
				at := int(e>>16) + int(b&(1<<(e>>8&15)-1))
				if e = lit[at]; e&isOther != 0 && e&isEnd == 0 {
					err = corrupt("there is no such symbol")
					break
				}
			}
			if e&isEnd != 0 {
				b >>= e & 63
				n -= uint(e & 63)
				r.state = block
				break
			}
			if e&isOther != 0 {
				err = corrupt("there is no such symbol")
				break
			}
		}
		if e&isLiteral != 0 {
			b >>= e & 63
			n -= uint(e & 63)
			out[to] = byte(e >> 16)
			to++
			continue
		}
		length := int(e>>16) + int((b&(1<<(e&63)-1))>>(e>>8&15))
		b >>= e & 63
		n -= uint(e & 63)

		b |= binary.LittleEndian.Uint64(in[pos:]) << (n & 63)
		pos += int((63 - n) >> 3)
		n |= 56
		e = dist[b&distMask]
		if e&isOther != 0 {
			if e&isSecond == 0 {
				err = corrupt("there is no such distance")
				break
			}
			b >>= distMain
			n -= distMain
			if e = dist[int(e>>16&0x7fff)+int(b&(1<<(e>>8&15)-1))]; e&isOther != 0 {
				err = corrupt("there is no such distance")
				break
			}
		}
		back := int(e>>16) + int((b&(1<<(e&63)-1))>>(e>>8&15))
		b >>= e & 63
		n -= uint(e & 63)
		if back > to-r.first {
			err = corrupt("a match before the first byte")
			break
		}
		end := to + length
		switch from := to - back; {
		case back >= 8:
			// In words, and up to seven bytes too many, which the next symbols overwrite.
			for to < end {
				binary.LittleEndian.PutUint64(out[to:], binary.LittleEndian.Uint64(out[from:]))
				to, from = to+8, from+8
			}
		case back == 1:
			word := uint64(out[from]) * 0x0101010101010101
			for ; to < end; to += 8 {
				binary.LittleEndian.PutUint64(out[to:], word)
			}
		default:
			for ; to < end; to, from = to+1, from+1 {
				out[to] = out[from]
			}
		}
		to = end
	}
	r.pos, r.bits, r.count, r.to = pos, b, n, to
	return err
}
